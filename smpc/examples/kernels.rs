//! How fast the ring's kernels and the shared randomness are on one core: `cargo run --release -p neuro-smpc --example
//! kernels`. `NEURO_INSTRUCTION_SET=scalar` (or `avx2`) gives the figures to compare with.

use std::hint::black_box;
use std::time::Instant;

use neuro_smpc::prss::Prss;
use neuro_smpc::ring::{packing, planes};

/// Seconds that each measurement takes about.
const SECONDS: f64 = 0.3;

fn main() {
    let mut prss = Prss::new(&[1; 32], &[2; 32]);
    randomness(&mut prss);
    wires(&mut prss);
}

/// Prints how many `unit` of `amount` a second `work` does: the best of several runs.
fn measure<T>(name: &str, amount: f64, unit: &str, mut work: impl FnMut() -> T) {
    let (started, mut best) = (Instant::now(), f64::INFINITY);
    while started.elapsed().as_secs_f64() < SECONDS {
        let begun = Instant::now();
        black_box(work());
        best = best.min(begun.elapsed().as_secs_f64());
    }
    println!("{name:<44} {:>9.2} {unit}", amount / best / 1e9);
}

fn randomness(prss: &mut Prss) {
    let mut buffers = [vec![0; 1 << 14], vec![0; 1 << 14]];
    let mut step = 0;
    let [own, next] = &mut buffers;
    measure("shared randomness, two components", f64::from(2 * 8 << 14), "GB/s", || {
        step += 1;
        prss.fill(step, own, next)
    });
}

fn wires(prss: &mut Prss) {
    let Ok([values, _]) = prss.words(u64::MAX, 1 << 14) else { return };
    let count = values.len() as f64;
    for width in [1, 16, 64] {
        let bits = planes::to_planes(&values, width);
        measure(&format!("to {width} planes"), count, "G values/s", || planes::to_planes(&values, width));
        let n = values.len();
        measure(&format!("from {width} planes"), count, "G values/s", || planes::from_planes(&bits, width, n));
    }
    for bits in [1, 13, 16, 64] {
        let bytes = packing::pack(&values, bits);
        measure(&format!("pack {bits} bits"), count, "G values/s", || packing::pack(&values, bits));
        let n = values.len();
        measure(&format!("unpack {bits} bits"), count, "G values/s", || packing::unpack(&bytes, bits, n));
    }
}
