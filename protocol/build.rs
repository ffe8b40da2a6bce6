//! Generates the control messages from `proto/control.proto`, in Rust alone: no `protoc` is called.

use std::error::Error;

const PROTO: &str = "proto/control.proto";

/// Enumerations travel as numbers; JSON shows their names, so that scripts need no table.
const ENUM_FIELDS: [(&str, &str); 3] =
    [("WorkerStatus.state", "WorkerState"), ("WorkerStatus.path", "PathKind"), ("JobStatus.state", "JobState")];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO}");
    let descriptors = protox::compile([PROTO], ["proto"])?;
    let mut builder = tonic_prost_build::configure()
        .build_client(false)
        .build_server(false)
        .type_attribute(".", "#[derive(serde::Serialize, serde::Deserialize)]")
        .message_attribute(".", "#[serde(default)]")
        .enum_attribute(".", "#[serde(rename_all = \"snake_case\")]");
    for (field, name) in ENUM_FIELDS {
        let path = format!(".neuro.control.v1.{field}");
        builder = builder.field_attribute(path, format!("#[serde(with = \"names::Named::<{name}>\")]"));
    }
    builder.compile_fds(descriptors)?;
    Ok(())
}
