//! What one token of a small model costs on shares: `cargo run --release -p neuro-smpc --example token [malicious|honest]
//! [ROUND_TRIP_MS] [PROMPTS] [TOKENS]`; without arguments both at 0, 10 and 50 ms, one prompt, 16 tokens.
//!
//! See [`neuro_smpc::workload::tokens`] for the model. Three threads play the parties; times are those of a network that is
//! calculated, at 1 Gbit/s.

use std::time::{Duration, Instant};

use neuro_smpc::computation::Security;
use neuro_smpc::error::SmpcError;
use neuro_smpc::memory::NetworkModel;
use neuro_smpc::workload::tokens::{self, Session, Stage};

fn main() -> Result<(), SmpcError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse::<u32>().ok());
    let round_trips = number(1).map_or_else(|| vec![0, 10, 50], |only| vec![only]);
    let (prompts, count) = (number(2).unwrap_or(1) as usize, number(3).unwrap_or(16) as usize);
    println!("one block, one token: {} online rounds", tokens::block_rounds()?);
    for (name, security) in [("honest", Security::SemiHonest), ("malicious", Security::Malicious)] {
        if arguments.first().is_some_and(|only| only != name) {
            continue;
        }
        for round_trip in &round_trips {
            let model = NetworkModel { delay: Duration::from_millis((*round_trip).into()) / 2, ..NetworkModel::NEAR };
            let begun = Instant::now();
            let session = tokens::measure(security, model, prompts, count)?;
            let wall = begun.elapsed().as_secs_f64();
            println!("{name}, {round_trip} ms round trip, {prompts} prompts: {wall:.2} s in all on this machine");
            print(&session, count);
        }
    }
    Ok(())
}

fn print(session: &Session, tokens: usize) {
    let line = |name: &str, Stage { seconds, rounds, bytes }: Stage, of: usize| {
        let of = of as f64;
        println!(
            "    {name:<22} {:>8.3} s {:>7.1} rounds {:>9.0} KB",
            seconds / of,
            rounds as f64 / of,
            bytes as f64 / of / 1000.0
        );
    };
    line("counting", session.rehearsals, 1);
    line("the prompt's masks", session.prompt_masks, 1);
    line("the prompt", session.prompt, 1);
    line("its proof", session.prompt_proof, 1);
    line("a token's masks", session.masks, tokens);
    line("a token", session.tokens, tokens);
    line("its proof", session.proofs, tokens);
    let each = [session.masks, session.tokens, session.proofs];
    println!("    {:<22} {:>8.3} s", "together", each.iter().map(|stage| stage.seconds).sum::<f64>() / tokens as f64);
}
