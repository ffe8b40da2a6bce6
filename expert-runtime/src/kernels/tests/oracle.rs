//! The engine's arithmetic said slowly, from the blocks as the file has them: what all kernels must equal, bit by bit.

use half::{bf16, f16};
use neuro_primitives::{Rows, TensorType};

use crate::activations::quantise;
use crate::engine::Weight;

/// Numbers that look random and are the same everywhere.
pub(crate) struct Draws(pub(crate) u64);

impl Draws {
    pub(crate) fn bits(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    /// Between -1 and 1.
    pub(crate) fn float(&mut self) -> f32 {
        (self.bits() >> 8) as f32 / 8_388_608.0 - 1.0
    }

    pub(crate) fn rows(&mut self, count: usize, width: usize) -> Rows {
        Rows::new(width, (0..count * width).map(|_| self.float()).collect())
    }
}

/// Any bits for codes and integer scales, and finite floats: some of them subnormal, some large.
pub(crate) fn random_weight(tensor_type: TensorType, rows: usize, columns: usize, seed: u64) -> Weight<'static> {
    let mut draws = Draws(seed.wrapping_mul(0x9E37_79B9).wrapping_add(tensor_type.code().into()));
    let bytes = tensor_type.bytes_of((rows * columns) as u64).expect("whole blocks") as usize;
    let mut bytes: Vec<u8> = (0..bytes).map(|_| (draws.bits() >> 24) as u8).collect();
    for block in bytes.chunks_exact_mut(tensor_type.block_bytes()) {
        finish(tensor_type, block, &mut draws);
    }
    Weight { name: "weight", tensor_type, rows, columns, bytes: bytes.into() }
}

fn finish(tensor_type: TensorType, block: &mut [u8], draws: &mut Draws) {
    let size = if draws.bits().is_multiple_of(16) { 1e-6 } else { 0.05 };
    let half = |draws: &mut Draws| f16::from_f32(draws.float() * size).to_le_bytes();
    match tensor_type {
        TensorType::F32 => block.copy_from_slice(&draws.float().to_le_bytes()),
        TensorType::F16 => block.copy_from_slice(&f16::from_f32(draws.float() * size * 10.0).to_le_bytes()),
        TensorType::BF16 => block.copy_from_slice(&bf16::from_f32(draws.float()).to_le_bytes()),
        TensorType::Mxfp4 => block[0] = 100 + (draws.bits() >> 27) as u8,
        TensorType::Q6K => block[208..].copy_from_slice(&half(draws)),
        TensorType::Q4K | TensorType::Q5K => {
            block[..2].copy_from_slice(&half(draws));
            block[2..4].copy_from_slice(&half(draws));
        }
        TensorType::Q8_0 | TensorType::Q4_0 | TensorType::Iq4Nl => block[..2].copy_from_slice(&half(draws)),
    }
}

/// Part of a row that has one scale.
struct SubBlock {
    values: Vec<i32>,
    scale: f32,
    minimum: Option<f32>,
}

/// `rows` times `weight`, by the specification's order of operations.
pub(crate) fn product(weight: &Weight<'_>, rows: &Rows) -> Rows {
    let mut output = Rows::zeros(rows.count(), weight.rows);
    if weight.tensor_type.is_float() {
        let values = weight.to_f32().expect("finite floats");
        for row in 0..rows.count() {
            for (sum, weights) in output.row_mut(row).iter_mut().zip(values.chunks_exact(weight.columns)) {
                *sum = weights.iter().zip(rows.row(row)).fold(0.0, |sum, (w, x)| w.mul_add(*x, sum));
            }
        }
        return output;
    }
    let quantised = quantise(rows).expect("finite rows");
    for (out, bytes) in weight.bytes.chunks_exact(weight.row_bytes()).enumerate() {
        let sub_blocks: Vec<SubBlock> = bytes
            .chunks_exact(weight.tensor_type.block_bytes())
            .flat_map(|block| parts(weight.tensor_type, block))
            .collect();
        for row in 0..rows.count() {
            output.row_mut(row)[out] = sum(&sub_blocks, quantised.row(row), quantised.row_scales(row));
        }
    }
    output
}

fn sum(sub_blocks: &[SubBlock], values: &[i8], scales: &[f32]) -> f32 {
    let (mut total, mut column) = (0.0_f32, 0);
    for part in sub_blocks {
        let values = &values[column..column + part.values.len()];
        let step = scales[column / 32];
        let products: i32 = part.values.iter().zip(values).map(|(&q, &v)| q * i32::from(v)).sum();
        total = (part.scale * step).mul_add(products as f32, total);
        if let Some(minimum) = part.minimum {
            let sum: i32 = values.iter().map(|&v| i32::from(v)).sum();
            total = (-(minimum * step)).mul_add(sum as f32, total);
        }
        column += values.len();
    }
    total
}

fn half(bytes: &[u8]) -> f32 {
    f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

/// 16 bytes of nibbles: the low ones are the first 16 values, the high ones the last.
fn nibbles(bytes: &[u8], value: impl Fn(usize) -> i32) -> Vec<i32> {
    let nibble = |column: usize| usize::from(if column < 16 { bytes[column] & 15 } else { bytes[column - 16] >> 4 });
    (0..32).map(|column| value(nibble(column))).collect()
}

fn parts(tensor_type: TensorType, block: &[u8]) -> Vec<SubBlock> {
    let one = |scale, values| vec![SubBlock { values, scale, minimum: None }];
    let small = |nibble: usize| i32::try_from(nibble).expect("a nibble");
    match tensor_type {
        TensorType::Q8_0 => one(half(block), block[2..].iter().map(|&value| i32::from(value.cast_signed())).collect()),
        TensorType::Q4_0 => one(half(block), nibbles(&block[2..], |nibble| small(nibble) - 8)),
        TensorType::Iq4Nl => one(half(block), nibbles(&block[2..], |nibble| IQ4_NL[nibble])),
        TensorType::Mxfp4 => {
            one(2.0_f64.powi(i32::from(block[0]) - 128) as f32, nibbles(&block[1..], |nibble| E2M1_DOUBLED[nibble]))
        }
        TensorType::Q4K => with_minima(block, |sub, column| i32::from(nibble_of(&block[16..], sub, column))),
        TensorType::Q5K => with_minima(block, |sub, column| {
            let fifth = (block[16 + column] >> sub) & 1;
            i32::from(nibble_of(&block[48..], sub, column) | fifth << 4)
        }),
        TensorType::Q6K => six_bits(block),
        TensorType::F32 | TensorType::F16 | TensorType::BF16 => unreachable!("floats have no blocks"),
    }
}

const IQ4_NL: [i32; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

const E2M1_DOUBLED: [i32; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// Two sub-blocks share 32 bytes: the even one has the low nibbles.
fn nibble_of(bytes: &[u8], sub: usize, column: usize) -> u8 {
    let byte = bytes[32 * (sub / 2) + column];
    if sub.is_multiple_of(2) { byte & 15 } else { byte >> 4 }
}

fn with_minima(block: &[u8], value: impl Fn(usize, usize) -> i32) -> Vec<SubBlock> {
    let (d, minimum, packed) = (half(block), half(&block[2..]), &block[4..16]);
    let part = |sub: usize| {
        let (scale, least) = if sub < 4 {
            (packed[sub] & 63, packed[sub + 4] & 63)
        } else {
            let upper = |byte: u8| (byte >> 6) << 4;
            (packed[sub + 4] & 15 | upper(packed[sub - 4]), packed[sub + 4] >> 4 | upper(packed[sub]))
        };
        let values = (0..32).map(|column| value(sub, column)).collect();
        SubBlock { values, scale: d * f32::from(scale), minimum: Some(minimum * f32::from(least)) }
    };
    (0..8).map(part).collect()
}

fn six_bits(block: &[u8]) -> Vec<SubBlock> {
    let (low, high, scales, d) = (&block[..128], &block[128..192], &block[192..208], half(&block[208..]));
    let value = |column: usize| {
        let (part, number, at) = (column / 128, column / 32 % 4, column % 32);
        let byte = low[64 * part + 32 * (number % 2) + at];
        let nibble = if number < 2 { byte & 15 } else { byte >> 4 };
        let upper = (high[32 * part + at] >> (2 * number)) & 3;
        i32::from(nibble | upper << 4) - 32
    };
    let part = |number: usize| {
        let values = (16 * number..16 * number + 16).map(value).collect();
        SubBlock { values, scale: d * f32::from(scales[number].cast_signed()), minimum: None }
    };
    (0..16).map(part).collect()
}
