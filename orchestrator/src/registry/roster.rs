//! The workers that the core knows, numbered densely: what is looked up for every task lies in plain vectors.
//!
//! A worker keeps its slot while it is remembered, over reconnections too. [`Roster::idle`] ones may be forgotten, and their
//! slots are given to others. What names a slot for long (a connection, a check) pins it.

use std::collections::BTreeMap;

use neuro_primitives::NodeId;

/// A known worker's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot(u32);

impl Slot {
    /// Its place in vectors over all slots.
    pub(crate) const fn place(self) -> usize {
        self.0 as usize
    }
}

/// All known workers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Roster {
    slots: BTreeMap<NodeId, Slot>,
    /// By slot.
    ids: Vec<NodeId>,
    /// By slot: what names it.
    pins: Vec<u32>,
    free: Vec<Slot>,
}

impl Roster {
    /// The worker's slot; a new worker gets one.
    pub(crate) fn enter(&mut self, id: NodeId) -> Slot {
        if let Some(slot) = self.slots.get(&id) {
            return *slot;
        }
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.ids.push(id);
                self.pins.push(0);
                Slot(u32::try_from(self.ids.len() - 1).unwrap_or(u32::MAX))
            }
        };
        self.ids[slot.place()] = id;
        self.slots.insert(id, slot);
        slot
    }

    /// The slot of a worker that is known.
    pub(crate) fn slot(&self, id: NodeId) -> Option<Slot> {
        self.slots.get(&id).copied()
    }

    /// The worker of a slot.
    pub(crate) fn id(&self, slot: Slot) -> NodeId {
        self.ids[slot.place()]
    }

    /// Known workers.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// All of them, ascending by id.
    pub(crate) fn all(&self) -> impl Iterator<Item = (NodeId, Slot)> + '_ {
        self.slots.iter().map(|(id, slot)| (*id, *slot))
    }

    /// Those that may be forgotten, ascending by id.
    pub(crate) fn idle(&self) -> impl Iterator<Item = Slot> + '_ {
        self.slots.values().copied().filter(|slot| self.pins[slot.place()] == 0)
    }

    /// Something names the slot from now on.
    pub(crate) fn pin(&mut self, slot: Slot) {
        self.pins[slot.place()] += 1;
    }

    /// Something that named the slot is gone.
    pub(crate) fn unpin(&mut self, slot: Slot) {
        self.pins[slot.place()] -= 1;
    }

    /// Forgets an idle worker: its slot is free.
    pub(crate) fn forget(&mut self, slot: Slot) {
        debug_assert_eq!(self.pins[slot.place()], 0, "{slot:?} is named by something");
        if self.slots.remove(&self.ids[slot.place()]).is_some() {
            self.free.push(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u8) -> NodeId {
        NodeId([number; 32])
    }

    #[test]
    fn a_worker_keeps_its_slot_until_it_is_forgotten_and_then_another_gets_it() {
        let mut roster = Roster::default();
        let slots = [3, 1, 2].map(|number| roster.enter(node(number)));
        assert_eq!(roster.enter(node(1)), slots[1]);
        roster.pin(slots[0]);
        assert_eq!(roster.idle().collect::<Vec<_>>(), [slots[1], slots[2]], "ascending by id, the pinned one left out");
        roster.forget(slots[1]);
        assert_eq!((roster.slot(node(1)), roster.len()), (None, 2));
        assert_eq!(roster.enter(node(9)), slots[1]);
        assert_eq!(roster.id(slots[1]), node(9));
        assert_eq!(roster.all().map(|(id, _)| id).collect::<Vec<_>>(), [node(2), node(3), node(9)]);
    }
}
