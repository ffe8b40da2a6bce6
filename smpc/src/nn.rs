//! A mixture-of-experts transformer on shares, with public or shared weights.
//!
//! One block, with h the hidden state `[rows, d]` in fixed point of 16 fraction bits:
//!
//! ```text
//! u = h / rms(h)                        norm.rs        the norm's weights are part of the matrices behind it
//! q, k, v = W u, turned by position     attention.rs   local, then one truncation
//! p = exp(q k - max)                                   masked positions count nothing
//! h += W_o (p v / Σ p)
//! u = h / rms(h)
//! e = one-hot of the top k of W_r u     experts.rs     nobody sees which
//! g, o = Σ_j e_j (W_j u)                               every expert is computed locally, one is selected on shares
//! h += Σ_r w_r Σ_j e_rj (W_j (silu(g_r) o_r))
//! ```
//!
//! What is linear with public weights costs no message but its truncation, and that is merged with what follows. With
//! shared weights it is a product of two shared matrices, one round more where the truncation is merged with something
//! else. Which expert a row met is never opened: it would tell the text.

mod attention;
mod decoder;
mod experts;
mod linear;
mod norm;
mod opening;
mod plain;
mod revealed;
mod weights;

pub use decoder::Decoder;
pub use opening::{LOGIT_BITS, Limited, LimitedDecoder, Limits};
pub use plain::{Noted, Operation, PlainDecoder, embedding};
pub(crate) use weights::WEIGHT_FRACTION;
pub use weights::{ExpertWeights, LayerWeights, Matrix, ModelShape, ModelWeights, Rotation, WeightError};
