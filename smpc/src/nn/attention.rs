//! Causal attention with grouped heads and a cache in shares.

use super::weights::{LayerWeights, ModelShape, Rotation, TURN_FRACTION, WEIGHT_FRACTION};
use crate::channel::Channel;
use crate::computation::Computation;
use crate::error::SmpcError;
use crate::exchange::Item;
use crate::functions::{FINE, FRACTION};
use crate::party::PartyId;
use crate::ring::Shape;
use crate::share::{NEXT, OWN, Shares};

/// Keys and values of one layer, `[prompts, positions, kv_heads · head_dim]` each.
#[derive(Clone, Default)]
pub struct Cache {
    keys: Shares,
    values: Shares,
    positions: usize,
}

/// Rows of a pass: `tokens` new tokens of each of `prompts` prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    /// Prompts that go through together.
    pub prompts: usize,
    /// New tokens of each.
    pub tokens: usize,
}

/// One pass of new tokens through all layers.
pub struct Pass<'a> {
    /// Its rows.
    pub rows: Rows,
    /// `[prompts, positions]`, the new ones with them: one where a position is padding. Empty where none is.
    pub padding: &'a Shares,
}

/// What the score of a padded position is lowered by. Padding is rows of zeros, which every layer leaves as they are, so its
/// scores are zero: lowered they count nothing beside scores above -12, and the largest may be 39.
pub const PADDING_PENALTY: u64 = 24;

/// Where things lie in the vectors of one pass.
struct Layout<'a> {
    shape: &'a ModelShape,
    rows: Rows,
    /// Positions with the new ones.
    positions: usize,
    /// See [`Pass::padding`].
    padding: &'a Shares,
}

impl<C: Channel> Computation<C> {
    /// Attention of normalised rows `u: [prompts · tokens, d_model]` to the same shape.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub(super) fn attend(
        &mut self,
        u: &Shares,
        layer: &LayerWeights,
        (shape, rotation): (&ModelShape, &Rotation),
        pass: &Pass<'_>,
        cache: &mut Cache,
    ) -> Result<Shares, SmpcError> {
        let rows = pass.rows;
        let [queries, keys, values] = self.linears([&layer.query, &layer.key, &layer.value], u)?;
        let queries = turned(&queries, shape, rotation, rows, cache.positions);
        let keys = turned(&keys, shape, rotation, rows, cache.positions);
        let values = values.times(1 << TURN_FRACTION);
        let lengths = [queries.len(), keys.len(), values.len()];
        let all = self.truncate(&Shares::concat(&[&queries, &keys, &values]), 64, WEIGHT_FRACTION + TURN_FRACTION)?;
        let [queries, keys, values] = <[Shares; 3]>::try_from(all.split(&lengths)).unwrap_or_default();
        cache.extend(&keys, &values, rows);
        let heads = self.mixed_heads(&queries, cache, shape, pass)?;
        self.linear_truncated(&layer.output, &heads)
    }

    /// What every head of `queries: [prompts · tokens, heads · head_dim]` gathers from the cache: the same shape.
    fn mixed_heads(
        &mut self,
        queries: &Shares,
        cache: &Cache,
        shape: &ModelShape,
        pass: &Pass<'_>,
    ) -> Result<Shares, SmpcError> {
        let layout = Layout { shape, rows: pass.rows, positions: cache.positions, padding: pass.padding };
        let (sums, reciprocals) = self.mixed_values(queries, cache, &layout)?;
        let of_row: Vec<usize> = (0..sums.len()).map(|at| at / shape.head_dim).collect();
        let products = self.products("attention: scale", &sums, &reciprocals.gather(&of_row), 64)?;
        Ok(self.truncate_products(products, FINE)?.gather(&layout.by_row()))
    }

    /// Causal attention of one prompt from its start, of scaled `queries`, `keys` and `values`, `[tokens, heads · head_dim]`
    /// each: what the heads gather.
    pub(crate) fn heads_of_prompt(
        &mut self,
        queries: &Shares,
        keys: &Shares,
        values: &Shares,
        shape: &ModelShape,
    ) -> Result<Shares, SmpcError> {
        let rows = Rows { prompts: 1, tokens: queries.len() / shape.heads / shape.head_dim };
        let mut cache = Cache::default();
        cache.extend(keys, values, rows);
        self.mixed_heads(queries, &cache, shape, &Pass { rows, padding: &Shares::default() })
    }

    /// Σ e^(score - max) v of every score row, `[rows, head_dim]`, and one over Σ e^(score - max), `[rows]`.
    fn mixed_values(
        &mut self,
        queries: &Shares,
        cache: &Cache,
        layout: &Layout<'_>,
    ) -> Result<(Shares, Shares), SmpcError> {
        let (positions, attended, values) = (layout.positions, layout.attended(), layout.values(&cache.values));
        if !self.saves_rounds_of_scores(attended.len()) {
            let scores = self.scores(queries, &cache.keys, layout)?;
            let (weights, reciprocals) = self.exponentials(&scores, positions, &attended)?;
            let products = self.matrix_products("attention: values", &weights, &values, &layout.shapes(true))?;
            return Ok((self.truncate_products(products, FRACTION)?, reciprocals));
        }
        // Every row sees the first position, and softmax does not change by what is added to all scores.
        let keys = cache.keys.minus(&cache.keys.gather(&layout.first_keys()));
        let first: Vec<usize> = (0..layout.padding.len()).map(|at| at / positions * positions).collect();
        let padding = layout.padding.minus(&layout.padding.gather(&first));
        let (queries, keys) = layout.sides(self.party(), queries, &keys, &padding);
        let scores = self.matrix_products("attention: scores", &queries, &keys, &layout.shapes(false))?;
        let weights = self.exponentials_of_few(scores, positions, &attended)?;
        let products = self.matrix_products("attention: values", &weights, &values, &layout.shapes(true))?;
        let (to_open, digits, curve) = self.sums_to_open(&weights, positions)?;
        let [sums, opened] = self.exchange([Item::Truncate(products, FRACTION), to_open])?;
        let reciprocals = self.curve_products(curve, &opened.opened, &digits, FRACTION)?;
        Ok((sums.shares, self.truncate_products(reciprocals, curve.shift())?))
    }

    /// q·k of every head, new token and position: `[prompts, kv_heads, tokens · group, positions]`.
    fn scores(&mut self, queries: &Shares, keys: &Shares, layout: &Layout<'_>) -> Result<Shares, SmpcError> {
        let (queries, keys) = layout.sides(self.party(), queries, keys, layout.padding);
        let products = self.matrix_products("attention: scores", &queries, &keys, &layout.shapes(false))?;
        self.truncate_products(products, FRACTION)
    }
}

impl Cache {
    /// Positions that it holds.
    pub(super) const fn positions(&self) -> usize {
        self.positions
    }

    /// Adds `[prompts, tokens, kv_heads · head_dim]`.
    fn extend(&mut self, keys: &Shares, values: &Shares, rows: Rows) {
        let width = keys.len() / (rows.prompts * rows.tokens);
        let old = self.positions * width;
        let new = rows.tokens * width;
        let joined = |old_values: &Shares, new_values: &Shares| Shares {
            parts: [OWN, NEXT].map(|at| {
                let of = |prompt: usize| {
                    let old = old_values.parts[at].get(prompt * old..(prompt + 1) * old).unwrap_or_default();
                    old.iter().chain(&new_values.parts[at][prompt * new..(prompt + 1) * new])
                };
                (0..rows.prompts).flat_map(of).copied().collect()
            }),
        };
        self.keys = joined(&self.keys, keys);
        self.values = joined(&self.values, values);
        self.positions += rows.tokens;
    }
}

/// Every head of `[rows, heads · head_dim]` turned by its row's position, with [`TURN_FRACTION`] bits more. Local.
fn turned(x: &Shares, shape: &ModelShape, rotation: &Rotation, rows: Rows, past: usize) -> Shares {
    let (width, pairs) = (shape.head_dim, shape.head_dim / 2);
    let row_width = x.len() / (rows.prompts * rows.tokens);
    let turns: Vec<[u64; 2]> =
        (0..rows.tokens * pairs).map(|at| rotation.turn(past + at / pairs, at % pairs)).collect();
    x.map(|part| {
        let mut out = vec![0; part.len()];
        for (vector, (from, to)) in part.chunks_exact(width).zip(out.chunks_exact_mut(width)).enumerate() {
            let token = vector * width / row_width % rows.tokens;
            for (pair, [cos, sin]) in turns[token * pairs..(token + 1) * pairs].iter().enumerate() {
                let [one, other] = rotation.places(pair, width);
                let (x, y) = (from[one], from[other]);
                to[one] = x.wrapping_mul(*cos).wrapping_sub(y.wrapping_mul(*sin));
                to[other] = y.wrapping_mul(*cos).wrapping_add(x.wrapping_mul(*sin));
            }
        }
        out
    })
}

impl Layout<'_> {
    const fn group(&self) -> usize {
        self.shape.heads / self.shape.kv_heads
    }

    /// One product for each prompt and key head: of scores, or with values.
    fn shapes(&self, with_values: bool) -> Vec<Shape> {
        let rows = self.rows.tokens * self.group();
        let (width, positions) = (self.shape.head_dim, self.positions);
        let penalty = usize::from(!self.padding.is_empty());
        let (inner, columns) = if with_values { (positions, width) } else { (width + penalty, positions) };
        vec![Shape { rows, inner, columns }; self.rows.prompts * self.shape.kv_heads]
    }

    /// (prompt, key head, token, head of the group), in the order of scores.
    fn score_rows(&self) -> impl Iterator<Item = [usize; 4]> + '_ {
        let (kv_heads, tokens, group) = (self.shape.kv_heads, self.rows.tokens, self.group());
        (0..self.rows.prompts * kv_heads * tokens * group).map(move |at| {
            let (rest, in_group) = (at / group, at % group);
            [rest / tokens / kv_heads, rest / tokens % kv_heads, rest % tokens, in_group]
        })
    }

    /// Queries `[prompts, tokens, heads, head_dim]` in the order of score rows.
    fn by_group(&self) -> Vec<usize> {
        let (heads, width, group) = (self.shape.heads, self.shape.head_dim, self.group());
        self.score_rows()
            .flat_map(|[prompt, kv_head, token, in_group]| {
                let head = ((prompt * self.rows.tokens + token) * heads + kv_head * group + in_group) * width;
                head..head + width
            })
            .collect()
    }

    /// Score rows `[.., head_dim]` in the order of rows: the inverse of [`Layout::by_group`].
    fn by_row(&self) -> Vec<usize> {
        let order = self.by_group();
        let mut inverse = vec![0; order.len()];
        order.iter().enumerate().for_each(|(at, place)| inverse[*place] = at);
        inverse
    }

    /// Of each key, that of its prompt's first position.
    fn first_keys(&self) -> Vec<usize> {
        let width = self.shape.kv_heads * self.shape.head_dim;
        let of_prompt = |prompt: usize| prompt * self.positions * width;
        let keys = self.rows.prompts * self.positions * width;
        (0..keys).map(|at| of_prompt(at / width / self.positions) + at % width).collect()
    }

    /// Keys `[prompts, positions, kv_heads, head_dim]` as `[prompts, kv_heads, head_dim, positions]`.
    fn transposed_keys(&self) -> Vec<usize> {
        let (kv_heads, width, positions) = (self.shape.kv_heads, self.shape.head_dim, self.positions);
        let columns = self.rows.prompts * kv_heads * width;
        let place = |column: usize, position: usize| {
            let (prompt, of_row) = (column / (kv_heads * width), column % (kv_heads * width));
            (prompt * positions + position) * kv_heads * width + of_row
        };
        (0..columns).flat_map(|column| (0..positions).map(move |position| place(column, position))).collect()
    }

    /// Values `[prompts, positions, kv_heads, head_dim]` as `[prompts, kv_heads, positions, head_dim]`.
    fn values(&self, values: &Shares) -> Shares {
        let (kv_heads, width, positions) = (self.shape.kv_heads, self.shape.head_dim, self.positions);
        let row = |prompt: usize, kv_head: usize, position: usize| {
            let from = ((prompt * positions + position) * kv_heads + kv_head) * width;
            from..from + width
        };
        let rows = (0..self.rows.prompts * kv_heads)
            .flat_map(|at| (0..positions).map(move |position| (at / kv_heads, at % kv_heads, position)));
        values.gather(&rows.flat_map(|(prompt, kv_head, position)| row(prompt, kv_head, position)).collect::<Vec<_>>())
    }

    /// Both sides of the scores: queries in the order of score rows, `[.., width]`, and keys `[prompts, kv_heads, width,
    /// positions]`. With padding they are one wider: a query has a one there, a key what its position is lowered by.
    fn sides(&self, party: PartyId, queries: &Shares, keys: &Shares, padding: &Shares) -> (Shares, Shares) {
        let (queries, keys) = (queries.gather(&self.by_group()), keys.gather(&self.transposed_keys()));
        if padding.is_empty() {
            return (queries, keys);
        }
        let (width, positions) = (self.shape.head_dim, self.positions);
        let rows = queries.len() / width;
        let ones = Shares::zeros(rows).plus_constant(party, 1 << FRACTION);
        let lowered = padding.times((PADDING_PENALTY << FRACTION).wrapping_neg());
        let of_prompt = self.shape.kv_heads * width * positions;
        let wider = |at: usize| {
            let queries = queries.parts[at].chunks_exact(width).zip(&ones.parts[at]);
            let keys = keys.parts[at].chunks_exact(width * positions).enumerate().map(|(head, keys)| {
                let prompt = head * width * positions / of_prompt;
                (keys, &lowered.parts[at][prompt * positions..(prompt + 1) * positions])
            });
            (
                queries.flat_map(|(row, one)| row.iter().chain([one])).copied().collect(),
                keys.flat_map(|(keys, row)| keys.iter().chain(row)).copied().collect(),
            )
        };
        let [(own_queries, own_keys), (next_queries, next_keys)] = [OWN, NEXT].map(wider);
        (Shares::new(own_queries, next_queries), Shares::new(own_keys, next_keys))
    }

    /// Whether a score's row sees its position.
    fn attended(&self) -> Vec<bool> {
        let past = self.positions - self.rows.tokens;
        self.score_rows()
            .flat_map(|[_, _, token, _]| (0..self.positions).map(move |position| position <= past + token))
            .collect()
    }
}
