//! Numbers as elements of Z_2^64, and elements as three components.

use neuro_smpc::party::PartyId;
use neuro_smpc::share::Shares;
use zeroize::Zeroizing;

/// The operating system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bytes: {0}")]
pub struct NoRandomness(getrandom::Error);

/// `N` random bytes from the operating system.
///
/// # Errors
/// When it has none to give.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(NoRandomness)?;
    Ok(bytes)
}

/// `values` as multiples of 2^-f, rounded to the nearest.
#[must_use]
pub fn encode(values: &[f32], fraction_bits: u8) -> Vec<u64> {
    let scale = f64::from(fraction_bits).exp2();
    values.iter().map(|value| ((f64::from(*value) * scale).round() as i64).cast_unsigned()).collect()
}

/// The numbers that elements stand for.
#[must_use]
pub fn decode(elements: &[u64], fraction_bits: u8) -> Vec<f32> {
    let scale = (-f64::from(fraction_bits)).exp2();
    elements.iter().map(|element| (element.cast_signed() as f64 * scale) as f32).collect()
}

/// Splits `last` (`[n]`) for the three parties: two components are random, the third is what is left.
///
/// # Errors
/// When there is no randomness.
pub fn split(mut last: Vec<u64>) -> Result<[Shares; 3], NoRandomness> {
    let (first, second) = (random_words(last.len())?, random_words(last.len())?);
    for (at, value) in last.iter_mut().enumerate() {
        *value = value.wrapping_sub(first[at]).wrapping_sub(second[at]);
    }
    let components = [first, second, last];
    Ok(PartyId::ALL
        .map(|party| Shares::new(components[party.index()].clone(), components[party.next().index()].clone())))
}

/// Joins what the three parties hold. The index of a component that its two holders tell differently is the error.
///
/// # Errors
/// See above; shares of different lengths count as different.
pub fn join(shares: &[Shares; 3]) -> Result<Vec<u64>, usize> {
    for component in 0..3 {
        let (holder, other) = (&shares[component], &shares[(component + 2) % 3]);
        if holder.parts[0] != other.parts[1] {
            return Err(component);
        }
    }
    if shares.iter().any(|share| share.parts[0].len() != shares[0].parts[0].len()) {
        return Err(0);
    }
    let sum = |at: usize| shares.iter().fold(0_u64, |sum, share| sum.wrapping_add(share.parts[0][at]));
    Ok((0..shares[0].len()).map(sum).collect())
}

/// `count` random words from the operating system.
pub(super) fn random_words(count: usize) -> Result<Vec<u64>, NoRandomness> {
    let mut bytes = Zeroizing::new(vec![0; 8 * count]);
    getrandom::fill(&mut bytes).map_err(NoRandomness)?;
    Ok(bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_split_joins_again() {
        let values = [0.0, 1.5, -2.25, 1000.0, -0.000_01];
        let shares = split(encode(&values, 16)).unwrap();
        let joined = decode(&join(&shares).unwrap(), 16);
        for (value, joined) in values.iter().zip(joined) {
            assert!((value - joined).abs() <= 1.0 / 131_072.0, "{value} became {joined}");
        }
    }

    #[test]
    fn a_component_that_two_tell_differently_is_named() {
        for (party, part, component) in [(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2), (2, 0, 2), (2, 1, 0)] {
            let mut shares = split(encode(&[1.0, 2.0], 16)).unwrap();
            shares[party].parts[part][1] ^= 1;
            assert_eq!(join(&shares), Err(component), "party {party}");
        }
    }
}
