//! How long the three parties take: `cargo run --release -p neuro-smpc --example workloads [NAME] [malicious|honest]
//! [ROUND_TRIP_MS]`; with a round trip the time is that of a calculated network, at 1 Gbit/s.

use std::time::Duration;

use neuro_smpc::computation::Security;
use neuro_smpc::error::SmpcError;
use neuro_smpc::memory::NetworkModel;
use neuro_smpc::workload::{self, Measured};

/// Runs of each, of which the middle one counts.
const RUNS: usize = 3;

fn main() -> Result<(), SmpcError> {
    let only = std::env::args().nth(1).unwrap_or_default();
    let mode = std::env::args().nth(2).unwrap_or_default();
    let round_trip = std::env::args().nth(3).and_then(|text| text.parse::<u32>().ok());
    let delay = Duration::from_millis(round_trip.unwrap_or(0).into()) / 2;
    let model = if round_trip.is_some() { NetworkModel { delay, ..NetworkModel::NEAR } } else { NetworkModel::INSTANT };
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
                let measured = workload.measure(security, model)?;
                let seconds = if round_trip.is_some() { measured.virtual_seconds } else { measured.seconds };
                runs.push(Measured { seconds, ..measured });
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
