//! Agreements of rebuilt keys with one public point (section 9.3).
//!
//! A survivor has several dead neighbours, whose keys all meet the same point. Of a multiplication most is doubling that
//! point, which is done once for all of them here; a key then costs some fifty additions (Yao, *On the evaluation of powers*,
//! 1976, with the digits of a non-adjacent form).
//!
//! Not for a key of one's own: what lies between is not wiped, and how long it takes depends on the key. Whoever rebuilds a key
//! has opened it: all that it was for are masks on edges of a dead member, which the guarantee gives up.

use curve25519_dalek::ristretto::RistrettoPoint;
use zeroize::Zeroizing;

use super::{KeyPair, Point, Scalar, SharedPoint};

/// Bits of a window of a scalar. One less would cost eight additions of multiples more and save six of sums.
const WINDOW: usize = 5;
/// Digits are odd and below 2^4, either way.
const DIGITS: usize = 1 << (WINDOW - 2);
/// Places of a digit: a scalar has 253 bits, and the last digit may carry.
const PLACES: usize = 254;

/// The Diffie-Hellman points of rebuilt `keys` with `peer`, in their order: those of [`KeyPair::agree`].
#[must_use]
pub fn agree_all(keys: &[&KeyPair], peer: &Point) -> Vec<SharedPoint> {
    // What is encoded together is doubled.
    let halves = keys.iter().map(|key| key.secret.div_by_2());
    let products: Vec<RistrettoPoint> = match keys {
        [] => Vec::new(),
        // Doubled for one alone, a library does it faster.
        [_] => halves.map(|half| once(&half, &peer.element)).collect(),
        _ => {
            let doublings = doublings(peer.element);
            halves.map(|half| product(&half, &doublings)).collect()
        }
    };
    let encoded = RistrettoPoint::double_and_compress_batch(&products);
    encoded.into_iter().map(|point| SharedPoint(Zeroizing::new(point.to_bytes()))).collect()
}

fn once(scalar: &Scalar, element: &RistrettoPoint) -> RistrettoPoint {
    RistrettoPoint::vartime_double_scalar_mul_basepoint(scalar, element, &Scalar::ZERO)
}

/// 2^i·`element` for each place i. `[PLACES]`
fn doublings(element: RistrettoPoint) -> Vec<RistrettoPoint> {
    std::iter::successors(Some(element), |last| Some(last + last)).take(PLACES).collect()
}

/// `scalar` times the first of `doublings`: those under one digit are added up, and each such sum counts as often as its digit
/// says.
fn product(scalar: &Scalar, doublings: &[RistrettoPoint]) -> RistrettoPoint {
    let mut sums = [None; DIGITS];
    for_each_digit(scalar, |place, digit| {
        let term = if digit > 0 { doublings[place] } else { -doublings[place] };
        add(&mut sums[usize::from(digit.unsigned_abs()) / 2], term);
    });
    // Σ (2i + 1)·sums[i] = sums[0] + Σ_{i>0} sums[i] + 2·Σ i·sums[i]
    let [mut above, mut weighted] = [None; 2];
    for sum in sums[1..].iter().rev() {
        sum.iter().for_each(|sum| add(&mut above, *sum));
        above.into_iter().for_each(|above| add(&mut weighted, above));
    }
    [sums[0], above, weighted, weighted].into_iter().flatten().sum()
}

/// Adding to nothing costs nothing, unlike adding to the identity.
fn add(sum: &mut Option<RistrettoPoint>, term: RistrettoPoint) {
    *sum = Some(sum.map_or(term, |sum| sum + term));
}

/// Shows place and digit of each term of `scalar` = Σ digit·2^place: odd digits at least [`WINDOW`] places apart.
fn for_each_digit(scalar: &Scalar, mut show: impl FnMut(usize, i8)) {
    let bytes = scalar.as_bytes();
    let byte = |at: usize| u16::from(bytes.get(at).copied().unwrap_or_default());
    let (mut place, mut carry) = (0, 0);
    while place < PLACES {
        let bits = (byte(place / 8) | byte(place / 8 + 1) << 8) >> (place % 8);
        // At most 2^5.
        let window = (bits & ((1 << WINDOW) - 1)) as i8 + carry;
        if window % 2 == 0 {
            place += 1;
            continue;
        }
        carry = i8::from(window >= 1 << (WINDOW - 1));
        show(place, window - (carry << WINDOW));
        place += WINDOW;
    }
}
