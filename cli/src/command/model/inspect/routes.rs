//! Where the tokens of a text go: the text is run through the model, and every choice of its routers is counted.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use neuro_inference::{ExpertLayers, ExpertsError, LocalExperts, Trunk};
use neuro_model::Checkpoint;
use neuro_primitives::{Routes, Rows};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::Output;

/// Experts shown per layer, the most used first.
const SHOWN: usize = 6;

/// What one layer's router chose.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerRoutes {
    /// The layer.
    pub layer: u16,
    /// Its experts that were chosen at all, by gate mass.
    pub experts: Vec<ExpertUse>,
}

/// How much one expert was used.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExpertUse {
    /// The expert within its layer.
    pub expert: u16,
    /// Tokens that were sent to it.
    pub tokens: u64,
    /// Its share of the layer's gates: how much it counted.
    pub gate_share: f64,
}

/// Runs `text` through the model at `path` and counts what its routers choose.
///
/// # Errors
/// When the model cannot be loaded, or the text has no tokens.
pub fn follow(path: &Path, text: &str) -> Result<Vec<LayerRoutes>, Failure> {
    let checkpoint = std::sync::Arc::new(Checkpoint::open(path)?);
    let tokenizer = checkpoint.tokenizer()?;
    let ids = tokenizer.encode(text, true)?;
    let engine = neuro_expert_runtime::default_engine();
    let trunk = Trunk::load(&checkpoint, std::sync::Arc::clone(&engine), &mut |_| {})?;
    let experts = LocalExperts::load(&checkpoint, engine, None, &mut |_| {})?;
    let watched = Watched { experts: &experts, layers: Mutex::default() };
    trunk.forward(&mut trunk.new_cache(), &ids, &watched)?;
    Ok(watched.into_layers())
}

/// The table that people see: a line a layer.
pub fn table(layers: &[LayerRoutes], output: Output) -> String {
    let rows: Vec<Vec<String>> = layers
        .iter()
        .map(|layer| {
            let busiest = layer.experts.iter().take(SHOWN);
            let shares = busiest.map(|used| format!("{} ({:.0} %)", used.expert, 100.0 * used.gate_share));
            vec![layer.layer.to_string(), layer.experts.len().to_string(), shares.collect::<Vec<_>>().join("  ")]
        })
        .collect();
    output.table(&["layer", "experts used", "busiest, by share of the gates"], &rows)
}

/// Tokens and gate mass of each expert of a layer.
type Counts = BTreeMap<u16, (u64, f64)>;

/// Experts whose calls are counted on their way.
struct Watched<'a> {
    experts: &'a LocalExperts,
    /// By layer. Held to count, never while experts compute.
    layers: Mutex<BTreeMap<u16, Counts>>,
}

impl ExpertLayers for Watched<'_> {
    fn run(&self, layer: u16, hidden: &Rows, routes: &Routes) -> Result<Rows, ExpertsError> {
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = layers.entry(layer).or_default();
        for route in routes.entries() {
            let (tokens, mass) = counts.entry(route.expert).or_default();
            *tokens += 1;
            *mass += f64::from(route.gate.abs());
        }
        drop(layers);
        self.experts.run(layer, hidden, routes)
    }
}

impl Watched<'_> {
    fn into_layers(self) -> Vec<LayerRoutes> {
        let layers = self.layers.into_inner().unwrap_or_else(PoisonError::into_inner);
        layers.into_iter().map(|(layer, counts)| LayerRoutes { layer, experts: by_mass(&counts) }).collect()
    }
}

fn by_mass(counts: &Counts) -> Vec<ExpertUse> {
    let total: f64 = counts.values().map(|(_, mass)| mass).sum();
    let mut experts: Vec<ExpertUse> = counts
        .iter()
        .map(|(&expert, &(tokens, mass))| ExpertUse { expert, tokens, gate_share: mass / total.max(f64::MIN_POSITIVE) })
        .collect();
    experts.sort_by(|a, b| b.gate_share.total_cmp(&a.gate_share).then(a.expert.cmp(&b.expert)));
    experts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn experts_come_by_how_much_they_counted_and_ties_by_number() {
        let counts = BTreeMap::from([(0, (9, 1.0)), (1, (1, 2.0)), (5, (3, 1.0))]);
        let experts = by_mass(&counts);
        let order: Vec<(u16, f64)> = experts.iter().map(|used| (used.expert, used.gate_share)).collect();
        assert_eq!(order, [(1, 0.5), (0, 0.25), (5, 0.25)]);
    }
}
