//! Generates the control service's stubs; its messages are those of the protocol crate.

use std::error::Error;

/// The messages and the service are described in one file, which belongs to the protocol crate.
const PROTO_FOLDER: &str = "../protocol/proto";
const PROTO: &str = "../protocol/proto/control.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO}");
    let descriptors = protox::compile([PROTO], [PROTO_FOLDER])?;
    tonic_prost_build::configure()
        .build_transport(false)
        .extern_path(".neuro.control.v1", "::neuro_protocol::control")
        .compile_fds(descriptors)?;
    Ok(())
}
