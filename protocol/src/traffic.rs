//! What one decoded token costs on the wire at one layer, in bytes: the figures beside which formats are weighed.
//!
//! One row goes to each worker that hosts one of its experts, with its share of the routes; one sum and a digest of each route come
//! back. Experts
//! are taken to lie as evenly on the workers as their number allows. Lengths of frames are counted, and nothing of what
//! the transport below adds.

use neuro_primitives::ActivationFormat;

use crate::limits::{ANSWER_HEAD_BYTES, DIGEST_BYTES, TASK_HEAD_BYTES, row_routes_bytes};

/// Bytes of one token at one layer, all workers together, with the length in front of every frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerTraffic {
    /// From the caller to the workers: tasks.
    pub task_bytes: usize,
    /// From the workers to the caller: answers.
    pub answer_bytes: usize,
}

impl LayerTraffic {
    /// The traffic of a row of `d_model` values in `format` whose `routes` experts lie on `workers` workers. Workers
    /// beyond the number of routes are sent nothing.
    #[must_use]
    pub fn of_token(d_model: usize, format: ActivationFormat, routes: usize, workers: usize) -> Self {
        let values = format.row_bytes(d_model);
        let sum = |routes| if routes > 1 { 8 * d_model } else { 4 * d_model };
        Self::sum(routes, workers, values, |routes| sum(routes) + DIGEST_BYTES * routes)
    }

    /// The same with hidden states and sums rounded to bf16, which other systems send, without digests: neither the experts' input nor
    /// the sums are then those of a single process.
    #[must_use]
    pub fn of_token_in_bf16(d_model: usize, routes: usize, workers: usize) -> Self {
        Self::sum(routes, workers, 2 * d_model, |_| 2 * d_model)
    }

    /// Both ways.
    #[must_use]
    pub const fn total_bytes(self) -> usize {
        self.task_bytes + self.answer_bytes
    }

    /// Each worker's task with `hidden_bytes` of values, and its answer with `sum_bytes` of sums and digests for so many routes.
    fn sum(routes: usize, workers: usize, hidden_bytes: usize, sum_bytes: impl Fn(usize) -> usize) -> Self {
        let asked = workers.min(routes);
        let mut traffic = Self { task_bytes: 0, answer_bytes: 0 };
        for worker in 0..asked {
            // The first workers have one expert more where they do not divide evenly.
            let share = routes / asked + usize::from(worker < routes % asked);
            traffic.task_bytes += LENGTH_BYTES + TASK_HEAD_BYTES + row_routes_bytes(share) + hidden_bytes;
            traffic.answer_bytes += LENGTH_BYTES + ANSWER_HEAD_BYTES + ROW_KIND_BYTES + sum_bytes(share);
        }
        traffic
    }
}

/// The length in front of every payload on a stream.
const LENGTH_BYTES: usize = 4;

/// The kind of row in front of every sum.
const ROW_KIND_BYTES: usize = 1;

#[cfg(test)]
mod tests {
    use neuro_primitives::{Activations, Hash, ModelId, QuantisedRows, Route, Routes, RowSum, Rows, TaskId};

    use super::*;
    use crate::frame::{Answer, Frame, MicroTask};

    /// A task of one zero row with `routes` experts, and its answer.
    fn frames(d_model: usize, format: ActivationFormat, experts: usize) -> [Frame; 2] {
        let mut routes = Routes::new();
        routes.push_row((0..experts).map(|expert| Route { expert: expert as u16, gate: 0.5 }));
        let hidden = match format {
            ActivationFormat::F32 => Activations::F32(Rows::zeros(1, d_model)),
            ActivationFormat::Q8 => {
                Activations::Q8(QuantisedRows::new(d_model, vec![0; d_model], vec![0.0; d_model / 32]))
            }
        };
        let (model, task) = (ModelId(Hash([0; 32])), TaskId(1));
        let sum = if experts > 1 { RowSum::Many(vec![0; d_model]) } else { RowSum::One(vec![0.0; d_model]) };
        let asked = MicroTask { task, model, engine_spec: 2, layer: 0, deadline_left_ms: 1, routes, hidden };
        let digests = vec![Hash([0; 32]); experts];
        [Frame::Task(asked), Frame::Answer(Answer { task, compute_us: 1, sums: vec![sum], digests })]
    }

    #[test]
    fn figures_are_the_lengths_of_real_frames() {
        for format in [ActivationFormat::F32, ActivationFormat::Q8] {
            // Shares of the workers that are asked, written out.
            for (routes, workers, shares) in [
                (8, 1, &[8][..]),
                (8, 3, &[3, 3, 2]),
                (8, 4, &[2; 4]),
                (8, 8, &[1; 8]),
                (2, 8, &[1, 1]),
                (3, 2, &[2, 1]),
                (1, 1, &[1]),
            ] {
                let of_share = |share: &usize| frames(2048, format, *share).map(|frame| 4 + frame.encode().len());
                let [tasks, answers] = shares.iter().map(of_share).fold([0, 0], |[t, a], [x, y]| [t + x, a + y]);
                let traffic = LayerTraffic::of_token(2048, format, routes, workers);
                assert_eq!((traffic.task_bytes, traffic.answer_bytes), (tasks, answers), "{routes} on {workers}");
            }
        }
    }

    #[test]
    fn the_figures_of_the_specification_are_these() {
        let both_ways = |traffic: LayerTraffic| (traffic.task_bytes, traffic.answer_bytes);
        let floats = LayerTraffic::of_token(2048, ActivationFormat::F32, 8, 4);
        let blocks = LayerTraffic::of_token(2048, ActivationFormat::Q8, 8, 4);
        let bf16 = LayerTraffic::of_token_in_bf16(2048, 8, 4);
        assert_eq!([floats, blocks, bf16].map(both_ways), [(33_076, 65_896), (9_524, 65_896), (16_692, 16_488)]);
    }

    #[test]
    fn blocks_take_little_more_than_half_of_bf16_on_the_way_out() {
        let blocks = LayerTraffic::of_token(4096, ActivationFormat::Q8, 8, 4);
        let bf16 = LayerTraffic::of_token_in_bf16(4096, 8, 4);
        assert!(blocks.task_bytes * 100 < bf16.task_bytes * 58, "{blocks:?} beside {bf16:?}");
        assert_eq!(bf16.answer_bytes, 4 * (4 + 21 + 1 + 2 * 4096));
        assert_eq!(blocks.total_bytes(), blocks.task_bytes + blocks.answer_bytes);
    }

    #[test]
    fn nothing_is_sent_where_there_is_nobody_or_nothing_to_ask() {
        let none = LayerTraffic { task_bytes: 0, answer_bytes: 0 };
        assert_eq!(LayerTraffic::of_token(64, ActivationFormat::F32, 0, 4), none);
        assert_eq!(LayerTraffic::of_token(64, ActivationFormat::F32, 8, 0), none);
    }
}
