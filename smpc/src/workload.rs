//! What the speed of the three parties is measured with: calculations from sharing to reveal, and their errors.
//!
//! All three run as threads of this process. A client shares its numbers, the parties calculate, prove what they
//! calculated unless all are honest, and reveal the result to each other. Masks are made within the time.

mod blocks;
mod cases;
mod client;
mod kernels;
pub mod tokens;

use std::time::Instant;

use crate::computation::{Computation, Security};
use crate::error::SmpcError;
use crate::memory::{Link, NetworkModel, network, run_over};
use crate::party::PartyId;
use crate::prss::Prss;
use crate::share::Shares;

/// A party at work.
pub type Party<'a> = Computation<&'a mut Link>;

/// What the parties run on shares of the inputs.
pub type Program = fn(&mut Party<'_>, &[Shares]) -> Result<Shares, SmpcError>;

/// One calculation.
pub struct Workload {
    /// As in reports.
    pub name: &'static str,
    /// Fraction bits of the result.
    pub fraction: u32,
    /// Fraction bits of the numbers to share.
    encoding: u32,
    /// k of the ring that the result is in.
    bits: u32,
    /// Numbers to share.
    inputs: fn() -> Vec<Vec<f64>>,
    program: Program,
    /// The result in float64.
    plain: fn(&[Vec<f64>]) -> Vec<f64>,
}

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// On the clock, three threads on the cores of this machine.
    pub seconds: f64,
    /// On the slowest party's virtual clock: its processor time, and what it waited for the network.
    pub virtual_seconds: f64,
    /// That all parties sent.
    pub bytes: u64,
    /// Longest chain of messages.
    pub rounds: u64,
    /// Largest, against float64.
    pub error: f64,
}

/// All that is measured.
#[must_use]
pub fn all() -> Vec<&'static Workload> {
    cases::ALL.iter().chain(&blocks::ALL).collect()
}

/// Those of them that multiply with weights, with weights that everybody knows: named `CASE_public_weights`.
#[must_use]
pub fn with_public_weights() -> Vec<&'static Workload> {
    blocks::PUBLIC.iter().collect()
}

impl Workload {
    /// Seconds that a party's local arithmetic takes, without messages, masks and proofs: the best of some runs.
    #[must_use]
    pub fn kernel_seconds(&self) -> Option<f64> {
        kernels::seconds(self.name)
    }

    /// Runs it once.
    ///
    /// # Errors
    /// What a party failed with.
    pub fn measure(&self, security: Security, model: NetworkModel) -> Result<Measured, SmpcError> {
        let inputs = (self.inputs)();
        let requests = blocks::requests(self.name, &inputs, security)?;
        let begun = Instant::now();
        let shared: Vec<[Shares; 3]> =
            inputs.iter().zip(1..).map(|(values, seed)| client::share(values, self.encoding, seed)).collect();
        let ran = run_over(network(model), |party, link| {
            let mut computation = Computation::new(party, link, prss(party), security);
            let inputs: Vec<Shares> = shared.iter().map(|shares| shares[party.index()].clone()).collect();
            computation.prepare(&requests)?;
            let result = (self.program)(&mut computation, &inputs)?;
            computation.verify()?.open_signed(&result, self.bits)
        });
        let seconds = begun.elapsed().as_secs_f64();
        let traffic = ran.each_ref().map(|(_, traffic)| *traffic);
        let [(opened, _), ..] = ran;
        let error = client::largest_error(&opened?, &(self.plain)(&inputs), self.fraction);
        Ok(Measured {
            seconds,
            virtual_seconds: traffic.iter().map(|of| of.elapsed.as_secs_f64()).fold(0.0, f64::max),
            bytes: traffic.iter().flat_map(|of| of.bytes).sum(),
            rounds: traffic.iter().map(|of| of.rounds).max().unwrap_or(0),
            error,
        })
    }
}

/// Seeds that everybody knows: nothing is kept secret here.
fn prss(party: PartyId) -> Prss {
    let seed = |component: PartyId| [component.index() as u8 + 1; 32];
    Prss::new(&seed(party), &seed(party.next()))
}
