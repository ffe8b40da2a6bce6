//! How the types' weights lie in a panel, and how kernels read them there.
//!
//! A panel is 16 rows of a weight. Its columns lie in sub-blocks of 32, and a sub-block in 8 groups of 4 columns: a
//! group holds row `r`'s four weights at bytes `4r..4r + 4`, so one instruction multiplies them with four activations
//! and adds them to lane `r`. Codes of 4 bits share a group's byte: the lower half is of group `g`, the upper half of
//! group `g + 4`. What 5-bit and 6-bit codes have beyond it lies in planes behind the sub-block's nibbles.
//!
//! A panel is unit after unit (a unit is one block of the type, 16 rows together): what the unit's rows have once, then for
//! each sub-block the rows' scales of it and its codes. So a kernel reads one stream of bytes from a weight's start to its end, which the processor fetches ahead.

use super::lanes::{GROUP, LANES, Lanes};

/// Where the scales of one unit lie, widened once for all its sub-blocks.
pub(super) struct Unit<L: Lanes> {
    /// The rows' scales of the whole unit.
    pub(super) scale: L::Floats,
    /// The rows' scales of the whole unit's minima; zeros for types without.
    pub(super) minimum: L::Floats,
}

/// A type whose weights are integers with scales.
///
/// # Safety
/// The functions read what a panel holds for one sub-block (`codes`, `scales`) or unit (`head`) at the pointers they get,
/// with an instruction set that the machine must have.
pub(super) trait QuantisedFormat {
    /// Sub-blocks of 32 columns in a unit.
    const SUB_BLOCKS: usize;
    /// Bytes of one sub-block's codes, 16 rows together.
    const CODE_BYTES: usize;
    /// Bytes of what a unit has once, 16 rows together.
    const HEAD_BYTES: usize;
    /// Bytes of the scales that one sub-block has of its own, 16 rows together.
    const SCALE_BYTES: usize = 0;
    /// Bytes of one unit.
    const UNIT_BYTES: usize = Self::HEAD_BYTES + Self::SUB_BLOCKS * (Self::SCALE_BYTES + Self::CODE_BYTES);
    /// Whether codes are signed bytes; if not they are unsigned, at most [`Self::LARGEST`].
    const SIGNED: bool = false;
    /// The largest unsigned code, which says how many products fit into 16 bits.
    #[cfg_attr(target_arch = "aarch64", expect(dead_code, reason = "NEON adds pairs in 32 bits"))]
    const LARGEST: i32;
    /// What an unsigned code is above the weight's integer.
    const OFFSET: i32;
    /// Whether each half of a sub-block has a scale of its own.
    const HALVES: bool = false;
    /// Whether sub-blocks have minima, which are subtracted.
    const MINIMA: bool = false;

    /// The codes of half `half` (0 or 1) of the sub-block at `codes`.
    unsafe fn codes<L: Lanes>(codes: *const u8, half: usize) -> [L::Bytes; 4];

    /// What the unit whose bytes start at `head` has once.
    unsafe fn unit<L: Lanes>(head: *const u8) -> Unit<L>;

    /// The scales of half `half` of the sub-block whose own scales lie at `scales`.
    #[inline(always)]
    unsafe fn scale<L: Lanes>(unit: &Unit<L>, _scales: *const u8, _half: usize) -> L::Floats {
        unit.scale
    }

    /// The minima of the sub-block whose own scales lie at `scales`.
    #[inline(always)]
    unsafe fn minimum<L: Lanes>(unit: &Unit<L>, _scales: *const u8) -> L::Floats {
        unit.minimum
    }
}

/// A type whose weights are floats of their own. A panel holds the 16 rows' values of one column after the other.
///
/// # Safety
/// `load` reads `16 · BYTES` bytes, with an instruction set that the machine must have.
pub(super) trait FloatFormat {
    /// Bytes of a value.
    const BYTES: usize;

    /// The rows' values of one column.
    unsafe fn load<L: Lanes>(source: *const u8) -> L::Floats;
}

/// Four groups, computed one by one. A closure here would not always be inlined, and a call costs a hundredfold.
macro_rules! quad {
    (|$group:ident| $result:expr) => {
        [
            {
                let $group: usize = 0;
                $result
            },
            {
                let $group: usize = 1;
                $result
            },
            {
                let $group: usize = 2;
                $result
            },
            {
                let $group: usize = 3;
                $result
            },
        ]
    };
}

/// # Safety
/// The machine has the instruction set and 256 bytes are readable.
#[inline(always)]
unsafe fn nibbles<L: Lanes>(codes: *const u8, half: usize) -> [L::Bytes; 4] {
    // SAFETY: as the caller says; 64 bytes are of each group.
    unsafe {
        quad!(|group| {
            let both = L::bytes(codes.add(group * GROUP));
            if half == 0 { L::low_nibbles(both) } else { L::high_nibbles(both) }
        })
    }
}

/// One f16 scale for each row.
///
/// # Safety
/// The machine has the instruction set and 32 bytes are readable.
#[inline(always)]
unsafe fn half_scale<L: Lanes>(head: *const u8) -> Unit<L> {
    // SAFETY: as the caller says.
    unsafe { Unit { scale: L::halves(head), minimum: L::splat(0.0) } }
}

pub(super) struct Q8_0;

impl QuantisedFormat for Q8_0 {
    const SUB_BLOCKS: usize = 1;
    const CODE_BYTES: usize = 8 * GROUP;
    const HEAD_BYTES: usize = 2 * LANES;
    const SIGNED: bool = true;
    const LARGEST: i32 = 255;
    const OFFSET: i32 = 0;

    #[inline(always)]
    unsafe fn codes<L: Lanes>(codes: *const u8, half: usize) -> [L::Bytes; 4] {
        // SAFETY: the sub-block has 8 groups.
        unsafe { quad!(|group| L::bytes(codes.add((4 * half + group) * GROUP))) }
    }

    #[inline(always)]
    unsafe fn unit<L: Lanes>(head: *const u8) -> Unit<L> {
        // SAFETY: the unit has a scale for each row.
        unsafe { half_scale::<L>(head) }
    }
}

pub(super) struct Q4_0;

impl QuantisedFormat for Q4_0 {
    const SUB_BLOCKS: usize = 1;
    const CODE_BYTES: usize = 4 * GROUP;
    const HEAD_BYTES: usize = 2 * LANES;
    const LARGEST: i32 = 15;
    const OFFSET: i32 = 8;

    #[inline(always)]
    unsafe fn codes<L: Lanes>(codes: *const u8, half: usize) -> [L::Bytes; 4] {
        // SAFETY: the sub-block has 4 bytes for 8 groups.
        unsafe { nibbles::<L>(codes, half) }
    }

    #[inline(always)]
    unsafe fn unit<L: Lanes>(head: *const u8) -> Unit<L> {
        // SAFETY: the unit has a scale for each row.
        unsafe { half_scale::<L>(head) }
    }
}

pub(super) struct Iq4Nl;

/// The values that IQ4_NL's indices stand for, as the GGUF format has them.
pub(super) const IQ4_NL_VALUES: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

impl QuantisedFormat for Iq4Nl {
    const SUB_BLOCKS: usize = 1;
    const CODE_BYTES: usize = 4 * GROUP;
    const HEAD_BYTES: usize = 2 * LANES;
    const SIGNED: bool = true;
    const LARGEST: i32 = 255;
    const OFFSET: i32 = 0;

    #[inline(always)]
    unsafe fn codes<L: Lanes>(codes: *const u8, half: usize) -> [L::Bytes; 4] {
        // SAFETY: the sub-block has 4 bytes for 8 groups.
        unsafe {
            let indices = nibbles::<L>(codes, half);
            quad!(|group| L::look_up(indices[group], &IQ4_NL_VALUES))
        }
    }

    #[inline(always)]
    unsafe fn unit<L: Lanes>(head: *const u8) -> Unit<L> {
        // SAFETY: the unit has a scale for each row.
        unsafe { half_scale::<L>(head) }
    }
}

pub(super) struct Mxfp4;

/// Twice the values of E2M1, and 12 more so that none is negative.
const MXFP4_CODES: [i8; 16] = [12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0];

impl QuantisedFormat for Mxfp4 {
    const SUB_BLOCKS: usize = 1;
    const CODE_BYTES: usize = 4 * GROUP;
    const HEAD_BYTES: usize = LANES;
    const LARGEST: i32 = 24;
    const OFFSET: i32 = 12;

    #[inline(always)]
    unsafe fn codes<L: Lanes>(codes: *const u8, half: usize) -> [L::Bytes; 4] {
        // SAFETY: the sub-block has 4 bytes for 8 groups.
        unsafe {
            let indices = nibbles::<L>(codes, half);
            quad!(|group| L::look_up(indices[group], &MXFP4_CODES))
        }
    }

    #[inline(always)]
    unsafe fn unit<L: Lanes>(head: *const u8) -> Unit<L> {
        // SAFETY: the unit has an exponent for each row.
        unsafe { Unit { scale: L::powers(head), minimum: L::splat(0.0) } }
    }
}

/// A unit of Q4_K and Q5_K has d and dmin, 16 × f16 each.
const MINIMA_HEAD_BYTES: usize = 4 * LANES;

/// Their sub-blocks have 16 scales (u8), then 16 minima (u8).
const MINIMA_SCALE_BYTES: usize = 2 * LANES;

/// # Safety
/// The machine has the instruction set and `head` is that of a unit of Q4_K or Q5_K.
#[inline(always)]
unsafe fn minima_unit<L: Lanes>(head: *const u8) -> Unit<L> {
    // SAFETY: the unit starts with 16 f16 twice.
    unsafe { Unit { scale: L::halves(head), minimum: L::halves(head.add(2 * LANES)) } }
}

/// # Safety
/// The machine has the instruction set and `scales` are those of a sub-block of Q4_K or Q5_K.
#[inline(always)]
unsafe fn minima_scale<L: Lanes>(unit: &Unit<L>, scales: *const u8) -> L::Floats {
    // SAFETY: the sub-block starts with 16 scales.
    unsafe { L::multiply(unit.scale, L::unsigned(scales)) }
}

/// # Safety
/// The machine has the instruction set and `scales` are those of a sub-block of Q4_K or Q5_K.
#[inline(always)]
unsafe fn minima_minimum<L: Lanes>(unit: &Unit<L>, scales: *const u8) -> L::Floats {
    // SAFETY: 16 minima follow the scales.
    unsafe { L::multiply(unit.minimum, L::unsigned(scales.add(LANES))) }
}

pub(super) struct Q4K;

impl QuantisedFormat for Q4K {
    const SUB_BLOCKS: usize = 8;
    const CODE_BYTES: usize = 4 * GROUP;
    const HEAD_BYTES: usize = MINIMA_HEAD_BYTES;
    const SCALE_BYTES: usize = MINIMA_SCALE_BYTES;
    const LARGEST: i32 = 15;
    const OFFSET: i32 = 0;
    const MINIMA: bool = true;

    #[inline(always)]
    unsafe fn codes<L: Lanes>(codes: *const u8, half: usize) -> [L::Bytes; 4] {
        // SAFETY: the sub-block has 4 bytes for 8 groups.
        unsafe { nibbles::<L>(codes, half) }
    }

    #[inline(always)]
    unsafe fn unit<L: Lanes>(head: *const u8) -> Unit<L> {
        // SAFETY: the unit is of this type.
        unsafe { minima_unit::<L>(head) }
    }

    #[inline(always)]
    unsafe fn scale<L: Lanes>(unit: &Unit<L>, scales: *const u8, _half: usize) -> L::Floats {
        // SAFETY: the unit is of this type.
        unsafe { minima_scale::<L>(unit, scales) }
    }

    #[inline(always)]
    unsafe fn minimum<L: Lanes>(unit: &Unit<L>, scales: *const u8) -> L::Floats {
        // SAFETY: the unit is of this type.
        unsafe { minima_minimum::<L>(unit, scales) }
    }
}

pub(super) struct Q5K;

impl QuantisedFormat for Q5K {
    const SUB_BLOCKS: usize = 8;
    /// Nibbles, then one plane whose bit `g` is the fifth bit of group `g`.
    const CODE_BYTES: usize = 5 * GROUP;
    const HEAD_BYTES: usize = MINIMA_HEAD_BYTES;
    const SCALE_BYTES: usize = MINIMA_SCALE_BYTES;
    const LARGEST: i32 = 31;
    const OFFSET: i32 = 0;
    const MINIMA: bool = true;

    #[inline(always)]
    unsafe fn codes<L: Lanes>(codes: *const u8, half: usize) -> [L::Bytes; 4] {
        // SAFETY: the sub-block has 4 bytes for 8 groups and one plane.
        unsafe {
            let (nibbles, plane) = (nibbles::<L>(codes, half), L::bytes(codes.add(4 * GROUP)));
            quad!(|group| L::with_bits(nibbles[group], plane, 4 - (4 * half + group) as i32, 0x10))
        }
    }

    #[inline(always)]
    unsafe fn unit<L: Lanes>(head: *const u8) -> Unit<L> {
        // SAFETY: the unit is of this type.
        unsafe { minima_unit::<L>(head) }
    }

    #[inline(always)]
    unsafe fn scale<L: Lanes>(unit: &Unit<L>, scales: *const u8, _half: usize) -> L::Floats {
        // SAFETY: the unit is of this type.
        unsafe { minima_scale::<L>(unit, scales) }
    }

    #[inline(always)]
    unsafe fn minimum<L: Lanes>(unit: &Unit<L>, scales: *const u8) -> L::Floats {
        // SAFETY: the unit is of this type.
        unsafe { minima_minimum::<L>(unit, scales) }
    }
}

pub(super) struct Q6K;

impl QuantisedFormat for Q6K {
    const SUB_BLOCKS: usize = 8;
    /// Nibbles, then for each half a plane whose bits `2g..2g + 2` are the upper bits of its group `g`.
    const CODE_BYTES: usize = 6 * GROUP;
    const HEAD_BYTES: usize = 2 * LANES;
    /// For each half 16 scales (i8).
    const SCALE_BYTES: usize = 2 * LANES;
    const LARGEST: i32 = 63;
    const OFFSET: i32 = 32;
    const HALVES: bool = true;

    #[inline(always)]
    unsafe fn codes<L: Lanes>(codes: *const u8, half: usize) -> [L::Bytes; 4] {
        // SAFETY: the sub-block has 4 bytes for 8 groups and two planes.
        unsafe {
            let (nibbles, plane) = (nibbles::<L>(codes, half), L::bytes(codes.add((4 + half) * GROUP)));
            quad!(|group| L::with_bits(nibbles[group], plane, 4 - 2 * group as i32, 0x30))
        }
    }

    #[inline(always)]
    unsafe fn unit<L: Lanes>(head: *const u8) -> Unit<L> {
        // SAFETY: the unit starts with a scale for each row.
        unsafe { half_scale::<L>(head) }
    }

    #[inline(always)]
    unsafe fn scale<L: Lanes>(unit: &Unit<L>, scales: *const u8, half: usize) -> L::Floats {
        // SAFETY: the sub-block starts with 16 bytes for each half.
        unsafe { L::multiply(unit.scale, L::signed(scales.add(half * LANES))) }
    }
}

pub(super) struct F32;

impl FloatFormat for F32 {
    const BYTES: usize = 4;

    #[inline(always)]
    unsafe fn load<L: Lanes>(source: *const u8) -> L::Floats {
        // SAFETY: as the trait asks.
        unsafe { L::floats(source) }
    }
}

pub(super) struct F16;

impl FloatFormat for F16 {
    const BYTES: usize = 2;

    #[inline(always)]
    unsafe fn load<L: Lanes>(source: *const u8) -> L::Floats {
        // SAFETY: as the trait asks.
        unsafe { L::halves(source) }
    }
}

pub(super) struct BF16;

impl FloatFormat for BF16 {
    const BYTES: usize = 2;

    #[inline(always)]
    unsafe fn load<L: Lanes>(source: *const u8) -> L::Floats {
        // SAFETY: as the trait asks.
        unsafe { L::upper_halves(source) }
    }
}
