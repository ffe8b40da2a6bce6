//! The Galois ring GR(2^64, 64) = Z_2^64\[x\] / (x^64 - x^4 - x^3 - x - 1).
//!
//! Modulo 2 the polynomial is that of [`super::gf64`], irreducible. An element is a unit if and only if it is not zero
//! modulo 2, so the 2^64 polynomials with coefficients 0 and 1 are an *exceptional set*: the difference of any two is a
//! unit, and a polynomial of degree D over the ring has at most D roots among them.

use std::fmt;
use std::ops::{Add, AddAssign, Mul, Neg, Sub};

use super::kernels::galois as kernel;
use super::kernels::galois_set::Set;

/// Coefficients of an element.
pub const DEGREE: usize = 64;

/// An element: coefficient of x^i at index i. A whole number of cache lines, so that vector loads never straddle two.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Element(pub [u64; DEGREE]);

impl Element {
    /// 0.
    pub const ZERO: Self = Self([0; DEGREE]);
    /// 1.
    pub const ONE: Self = Self::constant(1);

    /// A word of Z_2^64.
    #[must_use]
    pub const fn constant(word: u64) -> Self {
        let mut coefficients = [0; DEGREE];
        coefficients[0] = word;
        Self(coefficients)
    }

    /// Element `word` of the exceptional set: bit i is the coefficient of x^i.
    #[must_use]
    pub fn exceptional(word: u64) -> Self {
        Self(std::array::from_fn(|bit| (word >> bit) & 1))
    }

    /// The sum of products of `[n]` and `[n]` elements.
    #[must_use]
    pub fn dot(left: &[Self], right: &[Self]) -> Self {
        kernel::dot(Set::current(), left, right, 1)
    }
}

impl Add for Element {
    type Output = Self;
    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl AddAssign for Element {
    fn add_assign(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(a, b)| *a = a.wrapping_add(b));
    }
}

impl Sub for Element {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i].wrapping_sub(other.0[i])))
    }
}

impl Neg for Element {
    type Output = Self;
    fn neg(self) -> Self {
        Self(self.0.map(u64::wrapping_neg))
    }
}

impl Mul for Element {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        Self::dot(&[self], &[other])
    }
}

impl fmt::Debug for Element {
    /// Elements are shares and proofs: their value is never shown.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Element(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn element() -> impl Strategy<Value = Element> {
        prop::array::uniform32(any::<[u64; 2]>())
            .prop_map(|pairs| Element(std::array::from_fn(|i| pairs[i / 2][i % 2])))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn it_is_a_commutative_ring(a in element(), b in element(), c in element()) {
            prop_assert_eq!(a * b, b * a);
            prop_assert_eq!((a * b) * c, a * (b * c));
            prop_assert_eq!(a * (b + c), a * b + a * c);
            prop_assert_eq!(a * Element::ONE, a);
            prop_assert_eq!(a - a, Element::ZERO);
            prop_assert_eq!(a + (-b), a - b);
        }

        /// Products modulo 2 are those of GF(2^64).
        #[test]
        fn modulo_two_it_is_the_field(a: u64, b: u64) {
            let product = Element::exceptional(a) * Element::exceptional(b);
            let bits = (0..DEGREE).fold(0, |word, i| word | ((product.0[i] & 1) << i));
            prop_assert_eq!(bits, super::super::gf64::multiply(a, b));
        }
    }

    #[test]
    fn x_to_the_64_is_what_the_polynomial_says() {
        let x = Element::exceptional(2);
        let power = (0..64).fold(Element::ONE, |power, _| power * x);
        assert_eq!(power, Element::exceptional(0b11011));
    }

    /// In a ring with residue field of 2^64 elements, a^(2^64 - 1) = 1 modulo 2; so a unit's power is 1 + 2·something,
    /// and its 2^63rd power is 1.
    #[test]
    fn what_is_not_zero_modulo_two_is_a_unit() {
        let unit = Element(std::array::from_fn(|i| (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) | u64::from(i == 5)));
        let mut power = unit;
        let mut order = Element::ONE;
        for _ in 0..64 {
            order = order * power;
            power = power * power;
        }
        assert!((0..DEGREE).all(|i| order.0[i] & 1 == u64::from(i == 0)));
        let one = (0..63).fold(order, |power, _| power * power);
        assert_eq!(one, Element::ONE);
    }

    #[test]
    fn a_value_is_not_shown() {
        assert_eq!(format!("{:?}", Element::constant(7)), "Element(..)");
    }
}
