//! Generates the messages of `proto/control.proto` and `proto/federated.proto`, in Rust alone: no `protoc` is called.

use std::error::Error;

const PROTOS: [&str; 2] = ["proto/control.proto", "proto/federated.proto"];

/// Enumerations travel as numbers; JSON shows their names, so that scripts need no table.
const ENUM_FIELDS: [(&str, &str); 4] = [
    ("control.v1.WorkerStatus.state", "WorkerState"),
    ("control.v1.WorkerStatus.path", "PathKind"),
    ("control.v1.JobStatus.state", "JobState"),
    ("federated.v1.CohortStatus.phase", "RoundPhase"),
];

fn main() -> Result<(), Box<dyn Error>> {
    for proto in PROTOS {
        println!("cargo:rerun-if-changed={proto}");
    }
    let descriptors = protox::compile(PROTOS, ["proto"])?;
    let mut builder = tonic_prost_build::configure()
        .build_client(false)
        .build_server(false)
        .type_attribute(".", "#[derive(serde::Serialize, serde::Deserialize)]")
        .message_attribute(".", "#[serde(default)]")
        .enum_attribute(".", "#[serde(rename_all = \"snake_case\")]");
    for (field, name) in ENUM_FIELDS {
        let path = format!(".neuro.{field}");
        builder = builder.field_attribute(path, format!("#[serde(with = \"names::Named::<{name}>\")]"));
    }
    builder.compile_fds(descriptors)?;
    Ok(())
}
