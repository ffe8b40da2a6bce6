//! Stands in for the burn engine in builds without the feature `burn`: the same face, and every weight refused.

use crate::engine::{Engine, EngineError, EngineId, Expert, ExpertWeights, FLOAT_SPEC, Linear, Weight};

/// The engine that this build leaves out.
#[derive(Debug, Clone, Copy, Default)]
pub struct BurnFlexEngine;

impl BurnFlexEngine {
    /// The stand-in.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Engine for BurnFlexEngine {
    fn id(&self) -> EngineId {
        EngineId { class: "burn-flex-f32", spec: FLOAT_SPEC }
    }

    fn linear(&self, _weight: &Weight<'_>) -> Result<Box<dyn Linear>, EngineError> {
        Err(left_out())
    }

    fn expert(&self, _weights: &ExpertWeights<'_>) -> Result<Box<dyn Expert>, EngineError> {
        Err(left_out())
    }
}

fn left_out() -> EngineError {
    EngineError::Backend { message: "this build leaves out the burn engine (cargo feature `burn`)".to_owned() }
}
