//! Whether stored weights are finite, at the speed of reading them: a look at every float and scale and at nothing else.

use neuro_primitives::TensorType;

/// Whether all floats of `bytes`, whole blocks of `tensor_type`, are finite.
pub(super) fn all(tensor_type: TensorType, bytes: &[u8]) -> bool {
    match tensor_type {
        TensorType::F32 => words::<4>(bytes, |bytes| u32::from_le_bytes(bytes) & 0x7F80_0000 == 0x7F80_0000),
        TensorType::F16 => words::<2>(bytes, not_finite_half),
        TensorType::BF16 => words::<2>(bytes, |bytes| u16::from_le_bytes(bytes) & 0x7F80 == 0x7F80),
        TensorType::Q8_0 => blocks::<34>(bytes, |block| half_at(block, 0)),
        TensorType::Q4_0 | TensorType::Iq4Nl => blocks::<18>(bytes, |block| half_at(block, 0)),
        TensorType::Mxfp4 => blocks::<17>(bytes, |block| block[0] == u8::MAX),
        TensorType::Q4K => blocks::<144>(bytes, |block| half_at(block, 0) | half_at(block, 2)),
        TensorType::Q5K => blocks::<176>(bytes, |block| half_at(block, 0) | half_at(block, 2)),
        TensorType::Q6K => blocks::<210>(bytes, |block| half_at(block, 208)),
    }
}

/// Whether no word is `bad`. No early end: a sound weight is the rule, and this way several are looked at at once.
fn words<const N: usize>(bytes: &[u8], bad: impl Fn([u8; N]) -> bool) -> bool {
    !bytes.as_chunks::<N>().0.iter().fold(false, |found, word| found | bad(*word))
}

fn blocks<const N: usize>(bytes: &[u8], bad: impl Fn(&[u8; N]) -> bool) -> bool {
    !bytes.as_chunks::<N>().0.iter().fold(false, |found, block| found | bad(block))
}

fn half_at<const N: usize>(block: &[u8; N], at: usize) -> bool {
    not_finite_half([block[at], block[at + 1]])
}

const fn not_finite_half(bytes: [u8; 2]) -> bool {
    u16::from_le_bytes(bytes) & 0x7C00 == 0x7C00
}
