//! The control services' messages, generated from `proto/control.proto`.
//!
//! The services themselves (client and server stubs) belong to the network crate: nothing here speaks. All messages
//! read and write JSON too; enumerations appear there by name, absent measurements as `null`.

use neuro_primitives::ExpertId;

pub mod names;

include!(concat!(env!("OUT_DIR"), "/neuro.control.v1.rs"));

/// An expert's coordinates that do not fit: layers and experts are 16-bit numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a layer and an expert of at most 65535, got layer {layer} and expert {expert}")]
pub struct ExpertRangeError {
    /// The layer that came.
    pub layer: u32,
    /// The expert that came.
    pub expert: u32,
}

impl From<ExpertId> for Expert {
    fn from(id: ExpertId) -> Self {
        Self { layer: id.layer.into(), expert: id.expert.into() }
    }
}

impl TryFrom<Expert> for ExpertId {
    type Error = ExpertRangeError;

    fn try_from(Expert { layer, expert }: Expert) -> Result<Self, Self::Error> {
        match (layer.try_into(), expert.try_into()) {
            (Ok(layer), Ok(expert)) => Ok(Self { layer, expert }),
            _ => Err(ExpertRangeError { layer, expert }),
        }
    }
}

#[cfg(test)]
mod tests;
