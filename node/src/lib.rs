//! Roles (orchestrator, worker) that carry the cores' effects into the world, the HTTP API and the control services.
