//! Loads what follows a layer's attention, but for the experts.

use neuro_expert_runtime::{ExpertBiases, ExpertWeights};
use neuro_model::names::{ExpertTensorNames, FeedForwardNames, ProjectionNames, SharedExpertNames};

use super::Loader;
use crate::dense::{Dense, SharedExpert};
use crate::error::LoadError;
use crate::projection::Projection;
use crate::router::Router;
use crate::trunk::{ExpertBlock, FeedForward};

impl Loader<'_> {
    pub(super) fn feed_forward(&mut self, layer: u16, names: &FeedForwardNames) -> Result<FeedForward, LoadError> {
        match names {
            FeedForwardNames::Dense(names) => self.dense(layer, names).map(FeedForward::Dense),
            FeedForwardNames::Moe { router, selection_bias, shared } => {
                Ok(FeedForward::Experts(Box::new(ExpertBlock {
                    router: self.router(router, selection_bias.as_deref())?,
                    shared: shared.as_ref().map(|names| self.shared_expert(layer, names)).transpose()?,
                })))
            }
        }
    }

    fn router(&mut self, names: &ProjectionNames, selection_bias: Option<&str>) -> Result<Router, LoadError> {
        let projection = self.projection(names)?;
        Ok(Router::new(self.config.router, projection, self.optional_values(selection_bias)?))
    }

    fn shared_expert(&mut self, layer: u16, names: &SharedExpertNames) -> Result<SharedExpert, LoadError> {
        let network = self.dense(layer, &names.network)?;
        let gate = names.gate.as_deref().map(|name| self.linear(name)).transpose()?;
        Ok(SharedExpert { network, gate: gate.map(|linear| Projection::new(linear, None)) })
    }

    fn dense(&mut self, layer: u16, names: &ExpertTensorNames) -> Result<Dense, LoadError> {
        let weights = ExpertWeights {
            gate: self.weight(&names.gate)?,
            up: self.weight(&names.up)?,
            down: self.weight(&names.down)?,
            biases: names.biases.as_ref().map(|names| self.network_biases(names)).transpose()?,
            activation: self.config.activation,
        };
        let name = format!("the dense network of layer {layer}");
        let network = self.engine.expert(&weights).map_err(|source| LoadError::Engine { name, source })?;
        self.resident_bytes += network.resident_bytes();
        Ok(Dense::new(network))
    }

    fn network_biases(&mut self, [gate, up, down]: &[String; 3]) -> Result<ExpertBiases, LoadError> {
        Ok(ExpertBiases { gate: self.values(gate)?, up: self.values(up)?, down: self.values(down)? })
    }
}
