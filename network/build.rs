//! Generates the services' stubs; their messages are those of the protocol crate.

use std::error::Error;

/// A service and its messages are described in one file, which belongs to the protocol crate.
const PROTO_FOLDER: &str = "../protocol/proto";
const PROTOS: [&str; 2] = ["../protocol/proto/control.proto", "../protocol/proto/federated.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    for proto in PROTOS {
        println!("cargo:rerun-if-changed={proto}");
    }
    let descriptors = protox::compile(PROTOS, [PROTO_FOLDER])?;
    tonic_prost_build::configure()
        .build_transport(false)
        .extern_path(".neuro.control.v1", "::neuro_protocol::control")
        .extern_path(".neuro.federated.v1", "::neuro_protocol::federated")
        .compile_fds(descriptors)?;
    Ok(())
}
