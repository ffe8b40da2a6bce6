//! The parts of the model that a plan trains: their layouts, and their first weights as files.
//!
//! Without experts there is one track, the model. With experts each has its own tensors, and so has the router; the
//! tracks may share rows. All tracks together are *the whole*, which evaluations measure.

use std::fs;
use std::path::Path;

use neuro_fl_aggregator::task::{Track, choices};
use neuro_fl_aggregator::{Flat, Layout, LayoutError, RoundPlan};
use neuro_model::tensor_file::TensorTable;
use neuro_primitives::Hash;

use super::AggregatorError;
use super::models::Models;

/// One track before the first round.
#[derive(Debug, Clone)]
pub struct FirstTrack {
    /// Which tensors.
    pub layout: Layout,
    /// Its weights as they are handed out: its tensors alone, in f32.
    pub model: Hash,
}

/// All tracks of a task.
#[derive(Debug, Clone)]
pub struct Tracks {
    /// In the order of the plan.
    pub first: Vec<FirstTrack>,
    whole: Layout,
}

impl Tracks {
    /// The tracks of the plan in `file`, cut out of the weights that it names.
    ///
    /// # Errors
    /// When the weights cannot be read, or do not have what is to be trained.
    pub fn of(file: &Path, plan: &RoundPlan, models: &Models) -> Result<Self, AggregatorError> {
        let path = file.parent().unwrap_or_else(|| Path::new(".")).join(&plan.weights);
        let at = |source| AggregatorError::Io { path: path.clone(), source };
        let weights = fs::read(&path).map_err(at)?;
        let table = TensorTable::from_bytes(&weights).map_err(LayoutError::from)?;
        let mut first = Vec::new();
        for choice in choices(plan) {
            let layout = Layout::of(&table, choice)?;
            let model = models.keep(&layout.write(&layout.read_model(&weights)?)?).map_err(at)?;
            first.push(FirstTrack { layout, model });
        }
        let whole = Layout::union(first.iter().map(|track| &track.layout))?;
        Ok(Self { first, whole })
    }

    /// The weights of all tracks as one file.
    ///
    /// # Errors
    /// Those of [`Layout::write`].
    pub fn whole(&self, tracks: &[Track]) -> Result<Vec<u8>, LayoutError> {
        let mut all = Flat(vec![0.0; self.whole.entries()]);
        tracks.iter().for_each(|track| track.layout.carry(&track.model, &self.whole, &mut all));
        self.whole.write(&all)
    }
}
