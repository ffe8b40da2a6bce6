//! Loads a layer's attention.

use std::borrow::Cow;

use neuro_expert_runtime::{EngineError, Weight};
use neuro_model::LatentAttention as LatentShape;
use neuro_model::names::{AttentionNames, KvUpNames, LatentQueryNames};

use super::{Loader, refused};
use crate::attention::{Attention, GroupedAttention, HeadProjections, Heads, LatentAttention, LatentQuery};
use crate::error::LoadError;
use crate::kv_cache::HeadShape;
use crate::projection::Projection;
use crate::rope::score_factor;

/// The ε of the norms on latent vectors. The reference implementation does not take it from the configuration.
const LATENT_EPSILON: f32 = 1e-6;

impl Loader<'_> {
    pub(super) fn attention(&mut self, layer: usize, names: &AttentionNames) -> Result<Attention, LoadError> {
        let epsilon = self.config.rms_eps;
        match (names, self.config.latent) {
            (AttentionNames::Grouped { query, key, value, output, query_norm, key_norm, sinks }, _) => {
                let query_key_norm = match (query_norm, key_norm) {
                    (Some(query), Some(key)) => Some((self.norm(query, epsilon)?, self.norm(key, epsilon)?)),
                    _ => None,
                };
                Ok(Attention::Grouped(GroupedAttention {
                    heads: self.heads(layer, self.config.head_dim, sinks.as_deref())?,
                    query: self.projection(query)?,
                    key: self.projection(key)?,
                    value: self.projection(value)?,
                    output: self.projection(output)?,
                    query_key_norm,
                    clip: self.config.clip_qkv,
                }))
            }
            (AttentionNames::Latent { query, kv_down, kv_norm, kv_up, output }, Some(shape)) => {
                let (key_up, value_up) = self.latent_up(shape, kv_up)?;
                Ok(Attention::Latent(LatentAttention {
                    heads: self.heads(layer, shape.nope_dim + shape.rope_dim, None)?,
                    nope_dim: shape.nope_dim,
                    rope_dim: shape.rope_dim,
                    query: self.latent_query(query)?,
                    down: self.projection(kv_down)?,
                    norm: self.norm(kv_norm, LATENT_EPSILON)?,
                    key_up,
                    value_up,
                    output: self.projection(output)?,
                }))
            }
            (AttentionNames::Latent { .. }, None) => Err(LoadError::LatentShape { layer }),
        }
    }

    /// Heads whose queries and keys have `width` elements in the model's own terms.
    fn heads(&mut self, layer: usize, width: usize, sinks: Option<&str>) -> Result<Heads, LoadError> {
        Ok(Heads {
            count: self.config.heads,
            kv: HeadShape::of(self.config),
            scale: score_factor(self.config.rope.scaling) / (width as f32).sqrt(),
            window: self.config.windows.get(layer).copied().flatten(),
            sinks: self.optional_values(sinks)?,
        })
    }

    fn latent_query(&mut self, names: &LatentQueryNames) -> Result<LatentQuery, LoadError> {
        Ok(match names {
            LatentQueryNames::Direct { weight } => LatentQuery::Direct(Projection::new(self.linear(weight)?, None)),
            LatentQueryNames::LowRank { down, norm, up } => LatentQuery::LowRank {
                down: self.projection(down)?,
                norm: self.norm(norm, LATENT_EPSILON)?,
                up: Projection::new(self.linear(up)?, None),
            },
        })
    }

    /// The heads' ways into the latent space and out of it.
    fn latent_up(
        &mut self,
        shape: LatentShape,
        names: &KvUpNames,
    ) -> Result<(HeadProjections, HeadProjections), LoadError> {
        let (kv_rank, nope_dim, value_dim) = (shape.kv_rank, shape.nope_dim, shape.value_dim);
        match names {
            KvUpNames::Split { key, value } => {
                let (key, value) = (self.weight(key)?, self.weight(value)?);
                let key_up = self.per_head([nope_dim, kv_rank], |head| Ok(rows(&key, head * kv_rank, kv_rank)))?;
                let value_up = |head| Ok(rows(&value, head * value_dim, value_dim));
                Ok((key_up, self.per_head([kv_rank, value_dim], value_up)?))
            }
            KvUpNames::Joint(name) => {
                let (joint, stride) = (self.weight(name)?, nope_dim + value_dim);
                let key_up = |head| transposed(&rows(&joint, head * stride, nope_dim));
                let value_up = |head| Ok(rows(&joint, head * stride + nope_dim, value_dim));
                Ok((self.per_head([nope_dim, kv_rank], key_up)?, self.per_head([kv_rank, value_dim], value_up)?))
            }
        }
    }

    fn per_head<'w>(
        &mut self,
        [input, output]: [usize; 2],
        weight: impl Fn(usize) -> Result<Weight<'w>, EngineError>,
    ) -> Result<HeadProjections, LoadError> {
        let heads = self.config.heads;
        let linear = |head| {
            let weight = weight(head).map_err(|source| refused("the up projection of a latent vector", source))?;
            self.linear_of(&weight)
        };
        let linears = (0..heads).map(linear).collect::<Result<_, _>>()?;
        Ok(HeadProjections { linears, input, output })
    }
}

/// Rows `from..from + count` of `weight`, as they are stored; no bytes where it has no such rows, which engines refuse.
fn rows<'w>(weight: &'w Weight<'_>, from: usize, count: usize) -> Weight<'w> {
    let stretch = from * weight.row_bytes()..(from + count) * weight.row_bytes();
    let bytes = weight.bytes.get(stretch).unwrap_or_default();
    Weight { rows: count, bytes: Cow::Borrowed(bytes), ..*weight }
}

/// `weight` (`[rows, columns]`) as `[columns, rows]`, f32: blocks do not survive a transposition.
fn transposed<'w>(weight: &Weight<'w>) -> Result<Weight<'w>, EngineError> {
    weight.check()?;
    let (values, columns) = (weight.to_f32()?, weight.columns);
    let turned = (0..columns).flat_map(|column| values.iter().skip(column).step_by(columns)).copied();
    Ok(Weight::from_f32(weight.name, columns, weight.rows, &turned.collect::<Vec<f32>>()))
}

#[cfg(test)]
mod tests {
    use neuro_model::TensorType;

    use super::*;

    #[test]
    fn rows_keep_their_type_and_their_bytes() {
        // Two blocks of Q8_0 a row: 68 bytes.
        let bytes: Vec<u8> = (0..204).collect();
        let weight =
            Weight { name: "w", tensor_type: TensorType::Q8_0, rows: 3, columns: 64, bytes: bytes.as_slice().into() };
        let last = rows(&weight, 1, 2);
        assert_eq!((last.rows, last.columns, last.tensor_type, last.check()), (2, 64, TensorType::Q8_0, Ok(())));
        assert_eq!(*last.bytes, bytes[68..]);
        assert!(rows(&weight, 2, 2).check().is_err(), "rows that are not there are no weight");
    }

    #[test]
    fn a_transposed_matrix_has_columns_for_rows() {
        let weight = Weight::from_f32("w", 2, 3, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let turned = transposed(&weight).expect("a matrix");
        assert_eq!(turned, Weight::from_f32("w", 3, 2, &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]));
        let missing = Weight { bytes: vec![].into(), ..weight };
        assert!(transposed(&missing).is_err());
    }
}
