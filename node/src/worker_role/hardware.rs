//! What this machine tells of itself when it joins.

use std::time::Duration;

use neuro_protocol::control::{Accelerator, Hardware};

use crate::os::machine;

/// How long drivers may take to list accelerators. One that hangs must not keep a worker from joining.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks the operating system.
pub async fn hardware() -> Hardware {
    let listed = tokio::time::timeout(PATIENCE, tokio::task::spawn_blocking(machine::accelerators)).await;
    let accelerators = listed.ok().and_then(Result::ok).unwrap_or_default();
    Hardware {
        cpu: machine::processor(),
        cpu_features: machine::instruction_sets().into_iter().map(str::to_owned).collect(),
        cores: u32::try_from(machine::cores()).unwrap_or(u32::MAX),
        ram_bytes: machine::memory_bytes(),
        accelerators: accelerators
            .into_iter()
            .map(|machine::Accelerator { name, memory_bytes }| Accelerator { name, memory_bytes })
            .collect(),
    }
}
