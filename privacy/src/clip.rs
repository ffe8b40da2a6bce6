//! Clipping: an update no longer than its bound. Norms are taken in f64.

use crate::error::ClipError;

/// Rounding to f32 may leave the norm a hair, at most 2^−24 of it, above the bound: then a hair less.
const SHRINK: f64 = 1.0 - 1.0 / (1 << 23) as f64;

/// Tries with ever smaller factors; two are enough for any vector of normal f32.
const PASSES: u32 = 4;

/// The Euclidean norm of `v`, `[entries]`, f32, in f64.
///
/// # Errors
/// Names the first entry that is NaN or infinite.
pub fn norm_l2(v: &[f32]) -> Result<f64, ClipError> {
    let squares: f64 = v.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    if squares.is_finite() {
        return Ok(squares.sqrt());
    }
    // The square of the greatest f32 is 2^256: only a NaN or an infinity makes the sum of an f64 overflow.
    let entry = v.iter().position(|x| !x.is_finite()).unwrap_or(0);
    Err(ClipError::NotFinite { entry, got: v.get(entry).copied().unwrap_or(f32::NAN) })
}

/// Scales `v`, `[entries]`, f32, so that its norm, taken in f64, is at most `bound`. Returns the factor, 1 if `v` was
/// short enough.
///
/// # Errors
/// When an entry is NaN or infinite, or `bound` is not above 0 and finite. `v` is then as it came.
pub fn clip_l2(v: &mut [f32], bound: f64) -> Result<f64, ClipError> {
    if !(bound.is_finite() && bound > 0.0) {
        return Err(ClipError::Bound { got: bound });
    }
    let norm = norm_l2(v)?;
    if norm <= bound {
        return Ok(1.0);
    }
    let mut factor = bound / norm;
    for _ in 0..PASSES {
        let scaled = |x: f32| (f64::from(x) * factor) as f32;
        let squares: f64 = v.iter().map(|&x| f64::from(scaled(x)).powi(2)).sum();
        if squares.sqrt() <= bound {
            v.iter_mut().for_each(|x| *x = scaled(*x));
            return Ok(factor);
        }
        factor *= SHRINK;
    }
    // So near to the least f32 that no factor helps: nothing is left of it.
    v.fill(0.0);
    Ok(0.0)
}

#[cfg(test)]
mod tests;
