//! The field GF(2^64) = GF(2)\[x\] / (x^64 + x^4 + x^3 + x + 1): a word is an element, bit i the coefficient of x^i.

use super::kernels::galois_set::Set;
use super::kernels::gf64 as kernel;

/// The sum of two elements, and their difference.
#[must_use]
pub const fn add(a: u64, b: u64) -> u64 {
    a ^ b
}

/// The product of two elements. Takes the same time for all.
#[must_use]
pub fn multiply(a: u64, b: u64) -> u64 {
    kernel::reduce(kernel::product(a, b))
}

/// The sum of products of `[n]` and `[n]` elements.
#[must_use]
pub fn dot(left: &[u64], right: &[u64]) -> u64 {
    kernel::dot(Set::current(), left, right)
}

/// `element` times x^0 ... x^63: what the bits of a word are worth when the word has the weight `element`.
#[must_use]
pub fn places(element: u64) -> [u64; 64] {
    let mut place = element;
    std::array::from_fn(|_| {
        let this = place;
        place = (place << 1) ^ (POLYNOMIAL & 0u64.wrapping_sub(place >> 63));
        this
    })
}

/// x^64 modulo the polynomial.
const POLYNOMIAL: u64 = 0b11011;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_field(a: u64, b: u64, c: u64) {
            prop_assert_eq!(multiply(a, b), multiply(b, a));
            prop_assert_eq!(multiply(multiply(a, b), c), multiply(a, multiply(b, c)));
            prop_assert_eq!(multiply(a, b ^ c), multiply(a, b) ^ multiply(a, c));
            prop_assert_eq!(multiply(a, 1), a);
            // a^(2^64 - 2) is the inverse of a.
            let inverse = (1..64).fold((1, a), |(product, power), _| {
                let power = multiply(power, power);
                (multiply(product, power), power)
            }).0;
            prop_assert_eq!(multiply(a, inverse), u64::from(a != 0));
        }

        #[test]
        fn places_are_products(a: u64) {
            for (bit, place) in places(a).into_iter().enumerate() {
                prop_assert_eq!(place, multiply(a, 1 << bit));
            }
        }
    }

    /// Rabin's test for degree 64 = 2^6: x^(2^64) = x, and x^(2^32) - x is prime to the polynomial (64's only prime
    /// divisor is 2).
    #[test]
    fn the_polynomial_is_irreducible() {
        let frobenius = |times: usize| (0..times).fold(2, |power, _| multiply(power, power));
        assert_eq!(frobenius(64), 2);
        let (mut a, mut b) = ((1u128 << 64) | u128::from(POLYNOMIAL), u128::from(frobenius(32) ^ 2));
        while b != 0 {
            while a != 0 && a.leading_zeros() <= b.leading_zeros() {
                a ^= b << (b.leading_zeros() - a.leading_zeros());
            }
            std::mem::swap(&mut a, &mut b);
        }
        assert_eq!(a, 1);
    }
}
