//! What is trained: stretches of rows of some tensors, which together are one vector.

use std::ops::Range;

use neuro_fl_aggregator::Layout;
use neuro_model::ModelConfig;
use neuro_model::names::{self, FeedForwardNames};
use neuro_primitives::ExpertId;

use crate::error::ModelError;
use crate::low_rank::{self, LowRank};
use crate::weights::Weights;

/// What of a model is trained.
#[derive(Debug, Clone, PartialEq)]
pub enum TrainedTensors {
    /// Every tensor.
    All,
    /// The routers of all layers.
    Routers,
    /// In every layer with experts, these rows of the router: the say of these experts and of no others.
    RouterRows(Vec<u16>),
    /// The three projections of these experts and, with `router_rows`, their rows of the router: what one cohort of
    /// experts that specialise trains.
    Experts {
        /// Which.
        experts: Vec<ExpertId>,
        /// Their rows of the router too.
        router_rows: bool,
    },
    /// Low-rank adapters beside some projections.
    LowRank(LowRank),
    /// Whole tensors by name.
    Tensors(Vec<String>),
}

/// Rows of a tensor that are trained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// The tensor.
    pub name: String,
    /// Its rows; a tensor of one dimension is one row.
    pub rows: Range<usize>,
    /// Elements of a row.
    pub width: usize,
    /// Whether these are all rows.
    pub all: bool,
}

/// The stretches of a choice, ascending by name and row: the vector that is trained, summed and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainedParts(Vec<Stretch>);

impl Stretch {
    /// How many elements there are.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.rows.len() * self.width
    }

    /// Where they lie in the tensor's values.
    #[must_use]
    pub fn elements(&self) -> Range<usize> {
        self.rows.start * self.width..self.rows.end * self.width
    }
}

impl TrainedParts {
    /// The stretches that `choice` means in a model of `config` with `weights`. Adapters must be in `weights` already
    /// ([`LowRank::attach`]).
    ///
    /// # Errors
    /// A tensor or a row that is not there, or nothing at all.
    pub fn of(config: &ModelConfig, weights: &Weights, choice: &TrainedTensors) -> Result<Self, ModelError> {
        let whole = |names: Vec<String>| names.into_iter().map(|name| whole(weights, name)).collect::<Result<_, _>>();
        let mut stretches: Vec<Stretch> = match choice {
            TrainedTensors::All => whole(weights.iter().map(|(name, _)| name.to_owned()).collect())?,
            TrainedTensors::Routers => whole(routers(config).map(|(_, name)| name).collect())?,
            TrainedTensors::RouterRows(experts) => {
                let rows = routers(config).flat_map(|(_, name)| experts.iter().map(move |e| (name.clone(), *e)));
                rows.map(|(name, expert)| row(weights, name, expert)).collect::<Result<_, _>>()?
            }
            TrainedTensors::Experts { experts, router_rows } => {
                let mut all = Vec::new();
                for id in experts {
                    all.extend(expert(config, weights, *id, *router_rows)?);
                }
                all
            }
            TrainedTensors::LowRank(LowRank { projections, .. }) => {
                whole(projections.iter().flat_map(|name| low_rank::names(name)).collect())?
            }
            TrainedTensors::Tensors(names) => whole(names.clone())?,
        };
        stretches.sort_by(|left, right| (&left.name, left.rows.start).cmp(&(&right.name, right.rows.start)));
        Self::checked(stretches, weights)
    }

    /// The stretches of a federated task's layout, so that its vectors can be trained as they are.
    ///
    /// # Errors
    /// A tensor, rows or a shape that the model does not have.
    pub fn of_layout(layout: &Layout, weights: &Weights) -> Result<Self, ModelError> {
        let stretches = layout.slots().iter().map(|slot| {
            let whole = whole(weights, slot.tensor.clone())?;
            Ok(Stretch { rows: slot.rows.clone().unwrap_or(whole.rows), ..whole })
        });
        let parts = Self::checked(stretches.collect::<Result<_, ModelError>>()?, weights)?;
        parts.check(layout.entries())?;
        Ok(parts)
    }

    /// Stretches in the order of a vector that somebody else laid out.
    pub(crate) fn of_stretches(stretches: Vec<Stretch>, weights: &Weights) -> Result<Self, ModelError> {
        Self::checked(stretches, weights)
    }

    /// Patterns of names and rows, from which a task's plan makes a layout of the same vector.
    #[must_use]
    pub fn patterns(&self) -> Vec<String> {
        let pattern = |stretch: &Stretch| match (&stretch.rows, stretch.all) {
            (_, true) => stretch.name.clone(),
            (rows, false) => format!("{}[{}..{}]", stretch.name, rows.start, rows.end),
        };
        self.0.iter().map(pattern).collect()
    }

    /// Refuses nothing, rows that are not there, and rows that are chosen twice.
    fn checked(stretches: Vec<Stretch>, weights: &Weights) -> Result<Self, ModelError> {
        if stretches.is_empty() {
            return Err(ModelError::Nothing);
        }
        for (at, stretch) in stretches.iter().enumerate() {
            let rows = weights.get(&stretch.name)?.rows();
            let twice =
                at > 0 && stretches[at - 1].name == stretch.name && stretches[at - 1].rows.end > stretch.rows.start;
            if twice || stretch.rows.end > rows {
                let Range { start: from, end: to } = stretch.rows;
                return Err(ModelError::Rows { name: stretch.name.clone(), rows, from, to });
            }
        }
        Ok(Self(joined(stretches)))
    }

    /// The stretches, in the vector's order.
    #[must_use]
    pub fn stretches(&self) -> &[Stretch] {
        &self.0
    }

    /// The vector's length.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.0.iter().map(Stretch::entries).sum()
    }

    /// Reads the vector: `[entries]`, f32.
    ///
    /// # Errors
    /// A tensor that is not in `weights`.
    pub fn read(&self, weights: &Weights) -> Result<Vec<f32>, ModelError> {
        let mut vector = Vec::with_capacity(self.entries());
        for stretch in &self.0 {
            vector.extend_from_slice(&weights.get(&stretch.name)?.values[stretch.elements()]);
        }
        Ok(vector)
    }

    /// Writes `vector` (`[entries]`, f32) to where it belongs, and nothing anywhere else.
    ///
    /// # Errors
    /// A vector of another length, a tensor that is not in `weights`.
    pub fn write(&self, vector: &[f32], weights: &mut Weights) -> Result<(), ModelError> {
        self.check(vector.len())?;
        let mut rest = vector;
        for stretch in &self.0 {
            let (own, after) = rest.split_at(stretch.entries());
            weights.get_mut(&stretch.name)?.values[stretch.elements()].copy_from_slice(own);
            rest = after;
        }
        Ok(())
    }

    /// Refuses a vector of another length.
    pub(crate) fn check(&self, got: usize) -> Result<(), ModelError> {
        let expected = self.entries();
        if got == expected { Ok(()) } else { Err(ModelError::Entries { expected, got }) }
    }
}

/// The routers' weights with their layers, ascending.
pub(crate) fn routers(config: &ModelConfig) -> impl Iterator<Item = (usize, String)> + '_ {
    config.moe_layers().filter_map(|layer| match names::layer(config, layer).feed_forward {
        FeedForwardNames::Moe { router, .. } => Some((layer, router.weight)),
        FeedForwardNames::Dense(_) => None,
    })
}

fn whole(weights: &Weights, name: String) -> Result<Stretch, ModelError> {
    let matrix = weights.get(&name)?;
    Ok(Stretch { rows: 0..matrix.rows(), width: matrix.width(), all: true, name })
}

fn row(weights: &Weights, name: String, expert: u16) -> Result<Stretch, ModelError> {
    let (row, matrix) = (usize::from(expert), weights.get(&name)?);
    Ok(Stretch { rows: row..row + 1, width: matrix.width(), all: matrix.rows() == 1, name })
}

/// Rows that lie one after the other in a tensor are one stretch.
fn joined(stretches: Vec<Stretch>) -> Vec<Stretch> {
    let mut joined: Vec<Stretch> = Vec::with_capacity(stretches.len());
    for stretch in stretches {
        match joined.last_mut() {
            Some(last) if last.name == stretch.name && last.rows.end == stretch.rows.start => {
                last.rows.end = stretch.rows.end;
            }
            _ => joined.push(stretch),
        }
    }
    joined
}

fn expert(config: &ModelConfig, weights: &Weights, id: ExpertId, router: bool) -> Result<Vec<Stretch>, ModelError> {
    let names = names::expert(config, id);
    let mut stretches = Vec::new();
    for name in [names.gate, names.up, names.down] {
        stretches.push(whole(weights, name)?);
    }
    if router {
        for (_, name) in routers(config).filter(|(layer, _)| *layer == usize::from(id.layer)) {
            stretches.push(row(weights, name, id.expert)?);
        }
    }
    Ok(stretches)
}

#[cfg(test)]
mod tests;
