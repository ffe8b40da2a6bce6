//! libp2p, gRPC and TLS behind narrow traits: the only crate that knows them.
