//! Who stays inside the tolerance, but always on one side or always near its edge.
//!
//! Three bets are laid on each result that was measured against the checkpoint: that it leans further up than three quarters of
//! honest ones, further down, and that its error is larger than nine in ten. What each bet has won so far is a Shiryaev-Roberts
//! e-detector (Shin, Ramdas & Rinaldo 2022): `M_t = (M_{t-1} + 1) × L_t`, with `L_t` the likelihood ratio of a coin that comes up `often`
//! to one that comes up `honest`. For a coin that comes up no more than `honest`, `M_t - t` is a supermartingale whatever came
//! before, so the chance that `M` reaches `A` within `T` results is at most `T / A`. Three bets and `A = 3 × ALARMS_ONE_IN`: an honest
//! worker is alarmed within T results with a chance of at most `T / ALARMS_ONE_IN`.

use super::{Calibration, QUANTILE_SLACK_PERCENT, RowError};

/// Results of an honest worker for each alarm, at least: 10^6 are months of one check against the checkpoint a second at most.
pub const ALARMS_ONE_IN: u32 = 1_000_000;

/// Bets on each result.
const BETS: u32 = 3;

/// Lean beyond a quartile.
const SIDE: Coin = Coin { honest_percent: 25 + QUANTILE_SLACK_PERCENT, often_percent: 60 };

/// Errors beyond the last decile.
const SIZE: Coin = Coin { honest_percent: 10 + QUANTILE_SLACK_PERCENT, often_percent: 45 };

/// What is bet on.
struct Coin {
    /// How often it comes up for an honest worker at most.
    honest_percent: u32,
    /// How often it comes up for one that the bet is meant for.
    often_percent: u32,
}

impl Coin {
    fn likelihood_ratio(&self, up: bool) -> f64 {
        let (often, honest) = (f64::from(self.often_percent), f64::from(self.honest_percent));
        if up { often / honest } else { (100.0 - often) / (100.0 - honest) }
    }
}

/// What the results of one worker of one class say together.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Drift {
    up: f64,
    down: f64,
    large: f64,
}

impl Drift {
    /// Takes in the next result; whether that is one too many of its kind. Then everything begins anew.
    pub fn take(&mut self, error: RowError, honest: &Calibration) -> bool {
        let (low, high) = honest.lean_quartiles_ppb;
        let bets = [
            (&mut self.up, SIDE, error.lean_ppb > high),
            (&mut self.down, SIDE, error.lean_ppb < low),
            (&mut self.large, SIZE, error.size_ppb > honest.size_decile_ppb),
        ];
        let mut alarm = false;
        for (won, coin, up) in bets {
            *won = (*won + 1.0) * coin.likelihood_ratio(up);
            alarm |= *won >= f64::from(BETS * ALARMS_ONE_IN);
        }
        if alarm {
            *self = Self::default();
        }
        alarm
    }
}
