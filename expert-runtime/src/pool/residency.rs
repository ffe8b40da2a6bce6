//! Which experts are in memory: the bookkeeping of a pool, without threads, clocks or weights.
//!
//! The rules:
//! - **Use** is the number of calls that needed an expert, halved every [`HALF_LIFE_CALLS`] calls of the pool. A call
//!   counts once however many rows it brings, because one load serves them all.
//! - **Room** is made by dropping the expert of the least use that no call runs. Of several, the one used last goes
//!   first: layers come round in turn, so it is the one that is needed again last.
//! - **The limit** covers experts in memory and experts being loaded. It is exceeded in two cases only: experts
//!   without a source alone are beyond it, or an expert does not fit beside them even though nothing else is in use;
//!   then that one expert is loaded alone.
//! - An expert of a stored size that was never loaded is loaded with no other new one, so that a wrong guess at its
//!   size in memory concerns one expert.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use neuro_primitives::{ActivationFormat, ExpertId};

use crate::engine::Expert;
use crate::source::{ExpertSource, StoredExpert};

/// Calls after which a use counts half. At 32 layers these are 512 tokens of decoding: long enough to tell hot experts
/// from lucky ones, short enough to follow a change of subject.
pub const HALF_LIFE_CALLS: u64 = 1 << 14;

/// What one use counts; its bits are the halvings until it counts nothing.
const USE: u64 = 1 << 20;

/// How often a pool's experts were there, were loaded and were dropped. Counters only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResidencyCounters {
    /// Experts that a call found in memory.
    pub hits: u64,
    /// Experts brought into memory from their source.
    pub loads: u64,
    /// Experts dropped to make room.
    pub evictions: u64,
}

/// The experts of a pool.
#[derive(Default)]
pub(super) struct Residency {
    limit_bytes: Option<u64>,
    experts: BTreeMap<ExpertId, Entry>,
    /// Loads in progress with the bytes kept free for each.
    loading: BTreeMap<(ExpertId, u64), u64>,
    /// What experts of so many stored bytes took in memory.
    measured: BTreeMap<u64, u64>,
    /// How many experts of a layer take f32, and how many blocks.
    formats: BTreeMap<u16, [usize; 2]>,
    /// Bytes of experts in memory and of loads in progress.
    taken_bytes: u64,
    /// Experts in use, counted once for each call that uses them.
    in_use: usize,
    calls: u64,
    entries_made: u64,
    counters: ResidencyCounters,
}

struct Entry {
    /// Tells this entry from an earlier one of the same expert.
    number: u64,
    input_format: ActivationFormat,
    stored: Option<Stored>,
    expert: Option<Arc<dyn Expert>>,
    /// What the expert in memory was counted as.
    resident_bytes: u64,
    /// Calls that use it.
    pins: usize,
    used: Used,
}

#[derive(Clone)]
struct Stored {
    source: Arc<dyn ExpertSource>,
    bytes: u64,
}

#[derive(Clone, Copy, Default)]
struct Used {
    count: u64,
    /// The pool's calls when it was used last.
    at_call: u64,
}

/// An expert that a call uses. To be given back with [`Residency::release`].
pub(super) struct Taken {
    /// Its place in the list that was asked for.
    pub(super) place: usize,
    pub(super) id: ExpertId,
    number: u64,
    pub(super) state: TakenState,
}

/// Whether a taken expert is there.
pub(super) enum TakenState {
    /// In memory.
    Ready(Arc<dyn Expert>),
    /// Its room is kept; who took it loads it.
    ToLoad(Arc<dyn ExpertSource>),
}

/// Some experts, each where it is now: in memory or where it is stored.
pub(super) struct Found {
    pub(super) taken: Vec<Taken>,
    /// With the place in the list that was asked for.
    pub(super) stored: Vec<(usize, Arc<dyn ExpertSource>)>,
}

impl Entry {
    const fn may_go(&self) -> bool {
        self.expert.is_some() && self.stored.is_some() && self.pins == 0
    }
}

impl Used {
    /// The use at call `now`.
    fn at(self, now: u64) -> u64 {
        let halvings = now / HALF_LIFE_CALLS - self.at_call / HALF_LIFE_CALLS;
        u32::try_from(halvings).ok().and_then(|halvings| self.count.checked_shr(halvings)).unwrap_or(0)
    }

    fn again(self, now: u64) -> Self {
        Self { count: self.at(now).saturating_add(USE), at_call: now }
    }
}

impl Residency {
    pub(super) fn set_limit(&mut self, limit_bytes: Option<u64>) {
        self.limit_bytes = limit_bytes;
        self.shrink(0);
    }

    pub(super) const fn limit_bytes(&self) -> Option<u64> {
        self.limit_bytes
    }

    pub(super) const fn resident_bytes(&self) -> u64 {
        self.taken_bytes
    }

    pub(super) const fn counters(&self) -> ResidencyCounters {
        self.counters
    }

    pub(super) fn holds(&self, id: ExpertId) -> bool {
        self.experts.contains_key(&id)
    }

    pub(super) fn held(&self) -> Vec<ExpertId> {
        self.experts.keys().copied().collect()
    }

    pub(super) fn resident(&self) -> Vec<ExpertId> {
        self.experts.iter().filter(|(_, entry)| entry.expert.is_some()).map(|(&id, _)| id).collect()
    }

    /// Blocks where every expert of `layer` takes them; f32, which all take, otherwise.
    pub(super) fn input_format(&self, layer: u16) -> Option<ActivationFormat> {
        let [float, _] = self.formats.get(&layer)?;
        Some(if *float == 0 { ActivationFormat::Q8 } else { ActivationFormat::F32 })
    }

    /// Takes an expert that stays in memory until it is removed.
    pub(super) fn insert(&mut self, id: ExpertId, expert: Arc<dyn Expert>, input_format: ActivationFormat) {
        self.remove(id);
        let bytes = expert.resident_bytes();
        self.taken_bytes += bytes;
        let mut entry = self.entry(input_format, None);
        (entry.expert, entry.resident_bytes) = (Some(expert), bytes);
        self.place(id, entry);
        self.shrink(0);
    }

    /// Takes an expert that is read when it is needed.
    pub(super) fn register(&mut self, id: ExpertId, stored: StoredExpert, source: Arc<dyn ExpertSource>) {
        self.remove(id);
        let entry = self.entry(stored.input_format, Some(Stored { source, bytes: stored.stored_bytes }));
        self.place(id, entry);
    }

    pub(super) fn remove(&mut self, id: ExpertId) -> bool {
        let Some(entry) = self.experts.remove(&id) else { return false };
        self.taken_bytes -= entry.resident_bytes;
        if let Some(counts) = self.formats.get_mut(&id.layer) {
            counts[format_index(entry.input_format)] -= 1;
            if *counts == [0, 0] {
                self.formats.remove(&id.layer);
            }
        }
        true
    }

    /// Counts a call that needs `ids`.
    pub(super) fn count_call(&mut self, ids: &[ExpertId]) {
        self.calls += 1;
        for id in ids {
            if let Some(entry) = self.experts.get_mut(id) {
                entry.used = entry.used.again(self.calls);
                self.counters.hits += u64::from(entry.expert.is_some());
            }
        }
    }

    /// Takes what can be used now of the experts `wanted` (place and id): those in memory, and as many of the others
    /// as there is room for. Nothing means that another call must give something back first.
    ///
    /// # Errors
    /// The first expert that is not held. Nothing is taken then.
    pub(super) fn take(&mut self, wanted: &[(usize, ExpertId)]) -> Result<Vec<Taken>, ExpertId> {
        if let Some(&(_, missing)) = wanted.iter().find(|(_, id)| !self.holds(*id)) {
            return Err(missing);
        }
        let mut taken: Vec<Taken> = wanted.iter().filter_map(|&(place, id)| self.take_ready(place, id)).collect();
        let mut guessed = false;
        for &(place, id) in wanted {
            let Some((number, stored)) = self.absent(id) else { continue };
            let measured = self.measured.get(&stored.bytes).copied();
            if self.limit_bytes.is_some() && measured.is_none() && std::mem::replace(&mut guessed, true) {
                continue;
            }
            let bytes = measured.unwrap_or(stored.bytes);
            if self.make_room(bytes) || self.in_use == 0 {
                self.shrink(bytes);
                self.start_load(id, number, bytes);
                taken.push(Taken { place, id, number, state: TakenState::ToLoad(stored.source) });
            }
        }
        Ok(taken)
    }

    /// Takes those of `wanted` that are in memory; the sources of the others.
    ///
    /// # Errors
    /// The first expert that is not held. Nothing is taken then.
    pub(super) fn find(&mut self, wanted: &[ExpertId]) -> Result<Found, ExpertId> {
        if let Some(&missing) = wanted.iter().find(|id| !self.holds(**id)) {
            return Err(missing);
        }
        let mut found = Found { taken: Vec::new(), stored: Vec::new() };
        for (place, &id) in wanted.iter().enumerate() {
            if let Some(taken) = self.take_ready(place, id) {
                found.taken.push(taken);
            } else if let Some(stored) = self.experts.get(&id).and_then(|entry| entry.stored.as_ref()) {
                found.stored.push((place, Arc::clone(&stored.source)));
            }
        }
        Ok(found)
    }

    /// Takes in what a load brought. An expert that was removed or replaced meanwhile serves the call that loaded it.
    pub(super) fn loaded(&mut self, taken: &Taken, expert: &Arc<dyn Expert>) {
        self.end_load(taken);
        self.counters.loads += 1;
        let Some(entry) = self.experts.get_mut(&taken.id).filter(|entry| entry.number == taken.number) else { return };
        let bytes = expert.resident_bytes();
        (entry.expert, entry.resident_bytes) = (Some(Arc::clone(expert)), bytes);
        if let Some(stored) = &entry.stored {
            self.measured.insert(stored.bytes, bytes);
        }
        self.taken_bytes += bytes;
        self.shrink(0);
    }

    /// Gives an expert back, whether its load succeeded or not. Takes it by value: a reference that outlived this would
    /// keep memory that is counted as free.
    pub(super) fn release(&mut self, taken: Taken) {
        self.end_load(&taken);
        self.in_use -= 1;
        if let Some(entry) = self.experts.get_mut(&taken.id).filter(|entry| entry.number == taken.number) {
            entry.pins -= 1;
        }
    }

    fn take_ready(&mut self, place: usize, id: ExpertId) -> Option<Taken> {
        let entry = self.experts.get_mut(&id)?;
        let expert = Arc::clone(entry.expert.as_ref()?);
        entry.pins += 1;
        self.in_use += 1;
        Some(Taken { place, id, number: entry.number, state: TakenState::Ready(expert) })
    }

    /// The source of an expert that is neither in memory nor being loaded.
    fn absent(&self, id: ExpertId) -> Option<(u64, Stored)> {
        let entry = self.experts.get(&id).filter(|entry| entry.expert.is_none())?;
        let stored = entry.stored.clone()?;
        (!self.loading.contains_key(&(id, entry.number))).then_some((entry.number, stored))
    }

    fn start_load(&mut self, id: ExpertId, number: u64, bytes: u64) {
        self.loading.insert((id, number), bytes);
        self.taken_bytes += bytes;
        self.in_use += 1;
        if let Some(entry) = self.experts.get_mut(&id) {
            entry.pins += 1;
        }
    }

    fn end_load(&mut self, taken: &Taken) {
        if let Some(bytes) = self.loading.remove(&(taken.id, taken.number)) {
            self.taken_bytes -= bytes;
        }
    }

    /// Drops experts until `bytes` more fit; whether they do. Drops none where dropping all would not be enough.
    fn make_room(&mut self, bytes: u64) -> bool {
        let Some(limit) = self.limit_bytes else { return true };
        let wanted = self.taken_bytes.saturating_add(bytes);
        if wanted > limit {
            let to_gain: u64 = self.experts.values().filter(|entry| entry.may_go()).map(|e| e.resident_bytes).sum();
            if wanted.saturating_sub(to_gain) > limit {
                return false;
            }
            self.shrink(bytes);
        }
        true
    }

    /// Drops experts until `bytes` more fit or all others are in use.
    fn shrink(&mut self, bytes: u64) {
        let limit = self.limit_bytes.unwrap_or(u64::MAX);
        while self.taken_bytes.saturating_add(bytes) > limit
            && let Some(victim) = self.victim()
        {
            self.evict(victim);
        }
    }

    /// Of the experts that may go, that of the least use.
    fn victim(&self) -> Option<ExpertId> {
        let order =
            |(id, entry): &(&ExpertId, &Entry)| (entry.used.at(self.calls), Reverse(entry.used.at_call), Reverse(**id));
        self.experts.iter().filter(|(_, entry)| entry.may_go()).min_by_key(order).map(|(&id, _)| id)
    }

    fn evict(&mut self, id: ExpertId) {
        if let Some(entry) = self.experts.get_mut(&id) {
            entry.expert = None;
            self.taken_bytes -= std::mem::take(&mut entry.resident_bytes);
            self.counters.evictions += 1;
        }
    }

    fn entry(&mut self, input_format: ActivationFormat, stored: Option<Stored>) -> Entry {
        self.entries_made += 1;
        let (number, used) = (self.entries_made, Used::default());
        Entry { number, input_format, stored, expert: None, resident_bytes: 0, pins: 0, used }
    }

    fn place(&mut self, id: ExpertId, entry: Entry) {
        self.formats.entry(id.layer).or_default()[format_index(entry.input_format)] += 1;
        self.experts.insert(id, entry);
    }
}

const fn format_index(format: ActivationFormat) -> usize {
    match format {
        ActivationFormat::F32 => 0,
        ActivationFormat::Q8 => 1,
    }
}
