//! What will happen, in the order of virtual time.

use std::collections::BTreeMap;

/// Events by moment, in microseconds; those of one moment in the order in which they were entered.
#[derive(Debug)]
pub(crate) struct Agenda<T> {
    events: BTreeMap<(u64, u64), T>,
    entered: u64,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self { events: BTreeMap::new(), entered: 0 }
    }
}

impl<T> Agenda<T> {
    /// Enters an event.
    pub(crate) fn enter(&mut self, at: u64, event: T) {
        self.entered += 1;
        self.events.insert((at, self.entered), event);
    }

    /// When the next event is.
    pub(crate) fn next_at(&self) -> Option<u64> {
        self.events.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the next event.
    pub(crate) fn pop(&mut self) -> Option<(u64, T)> {
        self.events.pop_first().map(|((at, _), event)| (at, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_by_entry() {
        let mut agenda = Agenda::default();
        for (at, name) in [(5, 'c'), (1, 'a'), (5, 'd'), (2, 'b')] {
            agenda.enter(at, name);
        }
        assert_eq!(agenda.next_at(), Some(1));
        let order: Vec<char> = std::iter::from_fn(|| agenda.pop()).map(|(_, name)| name).collect();
        assert_eq!(order, ['a', 'b', 'c', 'd']);
    }
}
