//! What cannot be printed: a build with one of these types in `{:?}` fails.

use crate::arithmetic::{Mask, Products};
use crate::channel::Message;
use crate::digits::DigitMasks;
use crate::exchange::{Exchanged, Item};
use crate::lookup::{LookupMasks, PowerMasks};
use crate::nn::{Limited, LimitedDecoder, Matrix, ModelWeights};
use crate::prss::Prss;
use crate::random_bits::{DaBits, EdaBits, TruncationMasks};
use crate::share::{BitShares, Shares};
use crate::tape::Tapes;

#[path = "../../../tests/shared/not_debug.rs"]
mod not_debug;

not_debug::assert_not_debug!(
    BitShares,
    DaBits,
    DigitMasks,
    EdaBits,
    Exchanged,
    Item,
    Limited,
    LimitedDecoder,
    LookupMasks,
    Mask,
    Matrix,
    Message,
    ModelWeights,
    PowerMasks,
    Products,
    Prss,
    Shares,
    Tapes,
    TruncationMasks,
);
