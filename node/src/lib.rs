//! Roles (orchestrator, worker) that carry the cores' effects into the world, the HTTP API and the control services.

pub mod aggregator_role;
mod clock;
pub mod completer;
pub mod data_dir;
pub mod evidence;
mod gguf_files;
pub mod http;
pub mod jobs;
pub mod local;
pub mod orchestrator_role;
pub mod os;
pub mod participant_role;
pub mod publish;
pub mod rehearsal;
pub mod smpc_role;
pub mod vouchers;
pub mod worker_role;

pub use clock::unix_now;

/// What is written on the wire as the engine's rules is what the engine follows: a change of one is a change of both.
const _: () = assert!(neuro_protocol::version::ENGINE_SPEC == neuro_expert_runtime::engine::NATIVE_SPEC);
