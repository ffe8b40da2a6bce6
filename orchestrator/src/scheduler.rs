//! Who computes what: all experts of one call are given to holders together.
//!
//! The aim is `slowest finish + MESSAGE_US × messages`: the call is done when its slowest worker is, and each message
//! costs the sender. The exact optimum is a hard problem (makespan on unrelated machines), so: greedy, the experts with
//! the least choice and then the largest first; then single moves away from the slowest worker; then whole workers are
//! given up where that costs nothing. Ties go to the worker with the fewest tasks, then to the lowest slot.

use crate::settings::MESSAGE_US;

/// One worker as a call sees it. Lanes are in the order of slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lane {
    /// When it would finish if it got nothing of this call but the message: overhead and what is in flight, in
    /// microseconds.
    pub(crate) start_us: u64,
    /// Tasks in flight there.
    pub(crate) tasks: usize,
}

/// One way to run an expert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The lane, an index.
    pub(crate) lane: usize,
    /// What the expert's rows take there, in microseconds.
    pub(crate) cost_us: u64,
}

/// One expert of the call: where it can run, lanes ascending, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// The holders that may be asked.
    pub(crate) choices: Vec<Choice>,
}

/// Moves away from the slowest worker that are looked for. Greedy leaves few; 128 experts still take microseconds.
const IMPROVEMENTS: usize = 16;

/// The lane of each item.
pub(crate) fn assign(lanes: &[Lane], items: &[Item]) -> Vec<usize> {
    let mut plan = Plan {
        lanes,
        items,
        chosen: vec![None; items.len()],
        work_us: vec![0; lanes.len()],
        count: vec![0; lanes.len()],
    };
    plan.greedy();
    for _ in 0..IMPROVEMENTS {
        if !plan.improve() {
            break;
        }
    }
    plan.give_up_lanes();
    plan.chosen.iter().map(|choice| choice.map_or(0, |choice| choice.lane)).collect()
}

struct Plan<'a> {
    lanes: &'a [Lane],
    items: &'a [Item],
    chosen: Vec<Option<Choice>>,
    /// Cost given to each lane by this call, in microseconds.
    work_us: Vec<u64>,
    /// Items given to each lane.
    count: Vec<usize>,
}

impl Plan<'_> {
    fn greedy(&mut self) {
        let smallest = |item: &Item| item.choices.iter().map(|choice| choice.cost_us).min().unwrap_or(0);
        let mut order: Vec<usize> = (0..self.items.len()).collect();
        order.sort_by_key(|index| {
            (self.items[*index].choices.len(), std::cmp::Reverse(smallest(&self.items[*index])), *index)
        });
        for index in order {
            let best = self.items[index].choices.iter().min_by_key(|choice| self.price(choice)).copied();
            if let Some(choice) = best {
                self.put(index, choice);
            }
        }
    }

    /// When the lane would finish with this choice, a new message counted in; then the ties.
    fn price(&self, choice: &Choice) -> (u64, bool, usize, usize) {
        let new = self.count[choice.lane] == 0;
        let message = if new { MESSAGE_US } else { 0 };
        (self.finish(choice.lane) + choice.cost_us + message, new, self.lanes[choice.lane].tasks, choice.lane)
    }

    fn finish(&self, lane: usize) -> u64 {
        self.lanes[lane].start_us.saturating_add(self.work_us[lane])
    }

    fn put(&mut self, index: usize, choice: Choice) {
        self.take(index);
        self.chosen[index] = Some(choice);
        self.work_us[choice.lane] += choice.cost_us;
        self.count[choice.lane] += 1;
    }

    fn take(&mut self, index: usize) {
        if let Some(choice) = self.chosen[index].take() {
            self.work_us[choice.lane] -= choice.cost_us;
            self.count[choice.lane] -= 1;
        }
    }

    fn used(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.lanes.len()).filter(|lane| self.count[*lane] > 0)
    }

    /// What the plan costs: the slowest finish and all messages.
    fn objective(&self) -> u64 {
        let slowest = self.used().map(|lane| self.finish(lane)).max().unwrap_or(0);
        slowest.saturating_add(MESSAGE_US * self.used().count() as u64)
    }

    fn on(&self, lane: usize) -> Vec<usize> {
        (0..self.items.len()).filter(|index| self.chosen[*index].is_some_and(|choice| choice.lane == lane)).collect()
    }

    /// Makes the best single move away from the slowest lane; whether there was one.
    fn improve(&mut self) -> bool {
        let Some(slowest) = self.used().max_by_key(|lane| (self.finish(*lane), std::cmp::Reverse(*lane))) else {
            return false;
        };
        let mut best = (self.objective(), None);
        for index in self.on(slowest) {
            let Some(before) = self.chosen[index] else { continue };
            for choice in &self.items[index].choices {
                self.put(index, *choice);
                let objective = self.objective();
                if objective < best.0 {
                    best = (objective, Some((index, *choice)));
                }
            }
            self.put(index, before);
        }
        let Some((index, choice)) = best.1 else { return false };
        self.put(index, choice);
        true
    }

    /// Empties lanes, the least used first, while the objective does not rise.
    fn give_up_lanes(&mut self) {
        let mut lanes: Vec<usize> = self.used().collect();
        lanes.sort_by_key(|lane| (self.work_us[*lane], std::cmp::Reverse((self.lanes[*lane].tasks, *lane))));
        for lane in lanes {
            let (before, chosen) = (self.objective(), self.chosen.clone());
            if !self.empty(lane) || self.objective() > before {
                self.restore(&chosen);
            }
        }
    }

    /// Moves everything on the lane to other used lanes; whether all of it found one.
    fn empty(&mut self, lane: usize) -> bool {
        self.on(lane).into_iter().all(|index| {
            let open = |choice: &&Choice| choice.lane != lane && self.count[choice.lane] > 0;
            let best = self.items[index].choices.iter().filter(open).min_by_key(|choice| self.price(choice)).copied();
            best.is_some_and(|choice| {
                self.put(index, choice);
                true
            })
        })
    }

    fn restore(&mut self, chosen: &[Option<Choice>]) {
        for (index, choice) in chosen.iter().enumerate() {
            if let Some(choice) = choice.filter(|choice| self.chosen[index] != Some(*choice)) {
                self.put(index, choice);
            }
        }
    }
}

#[cfg(test)]
mod tests;
