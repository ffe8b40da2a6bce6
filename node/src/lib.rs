//! Roles (orchestrator, worker) that carry the cores' effects into the world, the HTTP API and the control services.

pub mod completer;
pub mod http;
pub mod jobs;
pub mod local;
