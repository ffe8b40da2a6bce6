//! Independent pieces of work, side by side on the compute threads.

use neuro_expert_runtime::threads;

/// Multiplications below which handing pieces over costs more than it saves: some ten microseconds' worth.
const LEAST_WORK: usize = 1 << 17;

/// Portions that the pieces are dealt in: several a thread, so that threads which got the shorter ones take more.
const PORTIONS: usize = 64;

/// `compute` for every index below `count`, results in order. `work` is about how many multiplications all of them take:
/// a little work stays on the caller's thread. Each piece is computed alone, so this changes no bit.
pub fn collect<T: Send>(count: usize, work: usize, compute: impl Fn(usize) -> T + Sync) -> Vec<T> {
    if work < LEAST_WORK || count < 2 {
        return (0..count).map(compute).collect();
    }
    let size = count.div_ceil(PORTIONS);
    let portion = |index: usize| -> Vec<T> { (index * size..((index + 1) * size).min(count)).map(&compute).collect() };
    threads::collect(count.div_ceil(size), portion).into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_however_many_portions_there_are() {
        for count in [0, 1, 2, 63, 64, 65, 1000] {
            let expected: Vec<usize> = (0..count).map(|index| index * index).collect();
            for work in [0, LEAST_WORK] {
                assert_eq!(collect(count, work, |index| index * index), expected, "{count} pieces");
            }
        }
    }
}
