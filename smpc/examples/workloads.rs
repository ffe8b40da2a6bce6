//! How long the three parties take: `cargo run --release -p neuro-smpc --example workloads [NAME] [malicious|honest]`.

use neuro_smpc::computation::Security;
use neuro_smpc::error::SmpcError;
use neuro_smpc::memory::NetworkModel;
use neuro_smpc::workload;

/// Runs of each, of which the middle one counts.
const RUNS: usize = 3;

fn main() -> Result<(), SmpcError> {
    let only = std::env::args().nth(1).unwrap_or_default();
    let mode = std::env::args().nth(2).unwrap_or_default();
    let all = workload::all().into_iter().chain(workload::with_public_weights());
    for workload in all.filter(|workload| workload.name.contains(&only)) {
        if let Some(seconds) = workload.kernel_seconds() {
            println!("{:<36} kernel     {seconds:>8.4} s", workload.name);
        }
        for (name, security) in [("honest", Security::SemiHonest), ("malicious", Security::Malicious)] {
            if !name.contains(&mode) {
                continue;
            }
            let mut runs = Vec::new();
            for _ in 0..RUNS {
                runs.push(workload.measure(security, NetworkModel::INSTANT)?);
            }
            runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
            let middle = runs[RUNS / 2];
            println!(
                "{:<36} {name:<10} {:>8.3} s {:>12} bytes {:>4} rounds, error {:.2e}",
                workload.name, middle.seconds, middle.bytes, middle.rounds, middle.error
            );
        }
    }
    Ok(())
}
