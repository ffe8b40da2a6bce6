//! What a part's trainer left, and when that counts.
//!
//! An update that was kept for buffered rounds is spent with the answer, since from then on a sum with it is likely to be
//! open, or when the round is told to have a sum: then it may be in there without this participant's answer. State for
//! the next round is kept when there is a sum. A round that came to nothing changes nothing.

use std::io;

use neuro_fl_aggregator::SignedSettings;
use neuro_secagg::config::Base;

use super::{Part, Surroundings};
use crate::participant_role::trainer_state::TrainerState;

impl Part {
    /// The round has a sum. Again changes nothing.
    pub(in super::super) fn count(&self, around: &mut Surroundings) -> io::Result<()> {
        if self.core.record().payload().is_none() {
            return Ok(());
        }
        if self.is_buffered() { self.spend_buffered(around) } else { self.keep_state(around) }
    }

    /// The update in the payload goes into no other buffered round. Once: afterwards the one that is kept is another.
    pub(super) fn spend_buffered(&self, around: &mut Surroundings) -> io::Result<()> {
        let config = self.core.config();
        if !self.is_buffered() || !around.past.is_unspent(config.round, config.cohort) {
            return Ok(());
        }
        around.buffers.used(config.layout)?;
        around.past.spend(config.round, config.cohort)
    }

    const fn is_buffered(&self) -> bool {
        matches!(self.core.config().base, Base::Versions(_))
    }

    /// What the trainer left for the next round. An evaluation leaves nothing.
    fn keep_state(&self, around: &Surroundings) -> io::Result<()> {
        let config = self.core.config();
        let trains = SignedSettings::decode(&config.strategy.settings).is_ok_and(|settings| !settings.is_evaluation());
        if trains {
            TrainerState::of(&around.folder, config.layout).keep(&self.store.trainer_folder()?)
        } else {
            Ok(())
        }
    }
}
