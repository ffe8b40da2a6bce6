//! How fast the ring's kernels and the shared randomness are on one core: `cargo run --release -p neuro-smpc --example
//! kernels`. `NEURO_INSTRUCTION_SET=scalar` (or `avx2`) gives the figures to compare with.

use std::hint::black_box;
use std::time::{Duration, Instant};

use neuro_smpc::prss::Prss;
use neuro_smpc::ring::{self, PublicWeights, Shape, packing, planes, replicated};

/// Seconds that each measurement takes about.
const SECONDS: f64 = 0.3;

fn main() {
    let mut prss = Prss::new(&[1; 32], &[2; 32]);
    randomness(&mut prss);
    wires(&mut prss);
    println!("{:<44} {:>9.2} GHz", "clock", clock_ghz());
    for rows in [1, 4, 16, 64, 512] {
        matrices(Shape { rows, inner: 1024, columns: 1024 });
    }
    decoding(Shape { rows: 1, inner: 4096, columns: 11_008 });
    vectors();
}

/// From the latency of a product of words, three cycles on every x86-64 core of today.
fn clock_ghz() -> f64 {
    let begun = processor_time();
    let steps = 20_000_000_u32;
    black_box((0..steps).fold(black_box(3_u64), |x, _| x.wrapping_mul(x)));
    3.0 * f64::from(steps) / (processor_time() - begun).as_secs_f64() / 1e9
}

/// Prints how many `unit` of `amount` a second `work` does: the best of several runs.
fn measure<T>(name: &str, amount: f64, unit: &str, mut work: impl FnMut() -> T) {
    let (started, mut best) = (Instant::now(), f64::INFINITY);
    while started.elapsed().as_secs_f64() < SECONDS {
        let begun = processor_time();
        black_box(work());
        best = best.min((processor_time() - begun).as_secs_f64());
    }
    println!("{name:<44} {:>9.2} {unit}", amount / best / 1e9);
}

/// What this thread has used: what else the machine does is not counted.
#[cfg(unix)]
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Wall time, where there is no such clock.
#[cfg(not(unix))]
fn processor_time() -> Duration {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

fn randomness(prss: &mut Prss) {
    let mut buffers = [vec![0; 1 << 14], vec![0; 1 << 14]];
    let mut step = 0;
    let [own, next] = &mut buffers;
    measure("shared randomness, two components", f64::from(16 << 14), "GB/s", || {
        step += 1;
        prss.fill(step, own, next)
    });
}

fn some_words(n: usize) -> Vec<u64> {
    (0..n as u64).map(|i| (i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect()
}

fn matrices(shape: Shape) {
    let (x, y) = (some_words(shape.rows * shape.inner), some_words(shape.inner * shape.columns));
    let macs = (shape.rows * shape.inner * shape.columns) as f64;
    let of = |name: &str| format!("{name}, {} x {} x {}", shape.rows, shape.inner, shape.columns);
    measure(&of("product"), macs, "GMAC/s", || ring::multiply(shape, &x, &y));
    measure(&of("product, transposed"), macs, "GMAC/s", || ring::multiply_transposed(shape, &x, &y));
    measure(&of("replicated product"), 2.0 * macs, "GMAC/s", || replicated::matrix_product(shape, [&x, &x], [&y, &y]));
    let wide: Vec<i32> = y.iter().map(|word| *word as i16 as i32).collect();
    let narrow: Vec<i16> = y.iter().map(|word| *word as i16).collect();
    for (name, weights) in [("i32", PublicWeights::I32(&wide)), ("i16", PublicWeights::I16(&narrow))] {
        let name = of(&format!("public {name}, both components"));
        measure(&name, 2.0 * macs, "GMAC/s", || replicated::public_product(shape, [&x, &x], weights));
    }
}

/// One token and weights that no cache holds: what memory allows.
fn decoding(shape: Shape) {
    let x = some_words(shape.inner);
    let weights: Vec<i16> = (0..shape.inner * shape.columns).map(|i| i as i16).collect();
    let (macs, bytes) = (2.0 * weights.len() as f64, 2.0 * weights.len() as f64);
    let product = || replicated::public_product(shape, [&x, &x], PublicWeights::I16(&weights));
    let name = format!("public i16, both components, {} x {}", shape.inner, shape.columns);
    measure(&name, macs, "GMAC/s", product);
    measure(&name, bytes, "GB/s", product);
}

fn vectors() {
    let (x, y) = (some_words(1 << 12), some_words(1 << 12));
    let count = x.len() as f64;
    measure("replicated products of elements", 2.0 * count, "GMAC/s", || replicated::products([&x, &x], [&y, &y]));
    for length in [8, 64, 512] {
        let name = format!("replicated inner products of {length}");
        measure(&name, 2.0 * count, "GMAC/s", || replicated::inner_products(length, [&x, &x], [&y, &y]));
    }
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
