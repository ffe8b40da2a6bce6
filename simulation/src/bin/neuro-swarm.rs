//! Swarms of many seeds, or the story of one: what `cargo xtask simulate` runs.

use std::process::ExitCode;

use neuro_simulation::swarm::{self, Policy, Tally};

const USAGE: &str = "usage: cargo xtask simulate --seeds N [--policy verified|sampled|trusting]
       cargo xtask simulate --seed S [--policy verified|sampled|trusting] [--story]";

/// What was asked.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    seeds: std::ops::Range<u64>,
    policies: Vec<Policy>,
    story: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(request) = Request::from_arguments(&arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let all_held = request.policies.iter().all(|policy| run(*policy, &request));
    ExitCode::from(u8::from(!all_held))
}

impl Request {
    fn from_arguments(arguments: &[String]) -> Option<Self> {
        let mut request = Self { seeds: 0..0, policies: Policy::ALL.to_vec(), story: false };
        let mut rest = arguments.iter();
        while let Some(name) = rest.next() {
            match name.as_str() {
                "--seeds" => request.seeds = 0..rest.next()?.parse().ok()?,
                "--seed" => {
                    let seed: u64 = rest.next()?.parse().ok()?;
                    request.seeds = seed..seed.checked_add(1)?;
                }
                "--policy" => request.policies = vec![rest.next()?.parse().ok()?],
                "--story" => request.story = true,
                _ => return None,
            }
        }
        (!request.seeds.is_empty()).then_some(request)
    }
}

/// Runs the seeds under one policy and prints what they gave; whether everything held.
fn run(policy: Policy, request: &Request) -> bool {
    let (mut sum, mut broken) = (Tally::default(), 0);
    for seed in request.seeds.clone() {
        match one(policy, seed, request.story) {
            Ok(tally) => sum.add(&tally),
            Err(failure) => {
                println!("{failure}\n");
                broken += 1;
            }
        }
    }
    println!("{policy}: {} seeds, {broken} broke an invariant; {sum}", request.seeds.end - request.seeds.start);
    broken == 0
}

fn one(policy: Policy, seed: u64, story: bool) -> Result<Tally, Box<swarm::Broken>> {
    if !story {
        return swarm::run(policy, seed);
    }
    let (result, lines) = swarm::replay(policy, seed);
    lines.iter().for_each(|line| println!("{line}"));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Option<Request> {
        Request::from_arguments(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_batch_takes_all_policies_and_a_replay_the_one_of_its_failure() {
        let batch = request("--seeds 7").unwrap();
        assert_eq!((batch.seeds, batch.policies.len(), batch.story), (0..7, 3, false));
        let replay = request("--seed 9 --policy sampled --story").unwrap();
        assert_eq!((replay.seeds, replay.policies, replay.story), (9..10, vec![Policy::Sampled], true));
    }

    #[test]
    fn what_makes_no_sense_is_not_run() {
        for text in ["", "--seeds", "--seeds x", "--seeds 0", "--seed 1 --policy no", "--seeds 1 --loud"] {
            assert_eq!(request(text), None, "{text}");
        }
    }
}
