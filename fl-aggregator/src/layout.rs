//! Tensors as one flat vector, and back: what of a model is trained, in which order, and in which files.
//!
//! A [`Layout`] lists parts of tensors in ascending order of their names; the vector is their elements one after the
//! other, row after row. Its hash stands in the round configuration, so that nobody adds up vectors of different
//! meaning. Files are read through the project's own reader of safetensors and written by the format's own library.

mod choice;
mod files;

use neuro_model::tensor_file::TensorTable;
use neuro_primitives::Hash;
use neuro_primitives::codec::Writer;
use std::ops::Range;

pub use crate::error::LayoutError;
pub use choice::{Pattern, TensorChoice};

/// The most entries of a vector: the specification's bound on field 9 of a configuration.
pub const MOST_ENTRIES: usize = 1 << 28;

/// What a layout's hash begins with.
const TAG: &[u8] = b"neuro/fl/layout/1\0";

/// `[entries]`, f32, in the layout's order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Flat(pub Vec<f32>);

/// One tensor, or some of its rows, and where its elements lie in the vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The tensor's name in the model.
    pub tensor: String,
    /// Which rows (indices of the slowest dimension) are meant; `None`: the whole tensor.
    pub rows: Option<Range<usize>>,
    /// The shape of this part, the slowest dimension first.
    pub shape: Vec<usize>,
    /// The index of its first element in the vector.
    pub offset: usize,
}

impl Slot {
    /// The name of this part in the files that a trainer reads and writes: the tensor's, with `[from..to]` behind it
    /// where only some rows are meant.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.rows {
            None => self.tensor.clone(),
            Some(rows) => format!("{}[{}..{}]", self.tensor, rows.start, rows.end),
        }
    }

    /// How many elements it has.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.shape.iter().product()
    }

    /// Which rows of the tensor it has; a scalar is one row.
    fn held_rows(&self) -> Range<usize> {
        self.rows.clone().unwrap_or(0..self.shape.first().copied().unwrap_or(1))
    }

    /// Parts go by their tensors' names, then by their rows.
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        let key = |slot: &Self| (slot.tensor.clone(), slot.rows.as_ref().map(|rows| (rows.start, rows.end)));
        key(self).cmp(&key(other))
    }

    /// Whether it has every row of `other`.
    fn covers(&self, other: &Self) -> bool {
        let (own, theirs) = (self.held_rows(), other.held_rows());
        self.tensor == other.tensor && own.start <= theirs.start && theirs.end <= own.end
    }

    /// Its places in the vector.
    #[must_use]
    pub fn place(&self) -> Range<usize> {
        self.offset..self.offset + self.entries()
    }
}

/// Which parts of which tensors make up the vector, in which order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    slots: Vec<Slot>,
    entries: usize,
}

impl Layout {
    /// The chosen tensors of a file, in ascending order of their names.
    ///
    /// # Errors
    /// A pattern that finds nothing, rows beyond a tensor, a type that is not a float, nothing chosen at all, or more
    /// than [`MOST_ENTRIES`] elements.
    pub fn of(tensors: &TensorTable, choose: &TensorChoice) -> Result<Self, LayoutError> {
        choose.check_all_found(tensors)?;
        let mut slots = Vec::new();
        for (name, entry) in tensors.iter() {
            let Some(rows) = choose.rows_of(name) else { continue };
            if entry.stored_type().is_none() {
                return Err(LayoutError::Type { tensor: name.to_owned(), got: entry.type_name.clone() });
            }
            slots.push(slot(name, rows, &entry.shape)?);
        }
        Self::from_slots(slots)
    }

    /// The layout of a file's parts with these names and shapes, put into ascending order: what [`Self::write`] wrote
    /// comes back, rows of tensors among it.
    ///
    /// # Errors
    /// The same name twice, no tensor at all, or too many elements.
    pub fn of_shapes<'a>(shapes: impl IntoIterator<Item = (&'a str, Vec<usize>)>) -> Result<Self, LayoutError> {
        let part = |(name, shape): (&str, Vec<usize>)| {
            let (tensor, rows) = choice::part_of(name, shape.first().copied());
            Slot { tensor, rows, shape, offset: 0 }
        };
        let mut slots: Vec<Slot> = shapes.into_iter().map(part).collect();
        slots.sort_by(Slot::order);
        if let Some(pair) = slots.windows(2).find(|pair| pair[0].name() == pair[1].name()) {
            return Err(LayoutError::Twice { tensor: pair[0].name() });
        }
        Self::from_slots(slots)
    }

    /// Everything that any of these layouts of one model has, each row once where one of them has it whole.
    ///
    /// # Errors
    /// No layout at all, or too many elements.
    pub fn union<'a>(layouts: impl IntoIterator<Item = &'a Self>) -> Result<Self, LayoutError> {
        let mut slots: Vec<Slot> = layouts.into_iter().flat_map(|layout| layout.slots.iter().cloned()).collect();
        slots.sort_by(Slot::order);
        slots.dedup_by(|a, b| a.name() == b.name());
        let all = slots.clone();
        let needless = |slot: &Slot, other: &Slot| {
            other != slot && other.covers(slot) && !(slot.covers(other) && slot.order(other).is_lt())
        };
        slots.retain(|slot| !all.iter().any(|other| needless(slot, other)));
        Self::from_slots(slots)
    }

    fn from_slots(mut slots: Vec<Slot>) -> Result<Self, LayoutError> {
        let mut entries = 0_usize;
        for slot in &mut slots {
            slot.offset = entries;
            let count = slot.shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
            entries = count.and_then(|count| entries.checked_add(count)).unwrap_or(usize::MAX);
            if entries > MOST_ENTRIES {
                return Err(LayoutError::TooLarge { limit: MOST_ENTRIES, tensor: slot.tensor.clone() });
            }
        }
        if entries == 0 { Err(LayoutError::Nothing) } else { Ok(Self { slots, entries }) }
    }

    /// The parts, in the order of the vector.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The length of the vector.
    #[must_use]
    pub const fn entries(&self) -> usize {
        self.entries
    }

    /// Names the layout: the hash of all names, rows and shapes in their order.
    #[must_use]
    pub fn hash(&self) -> Hash {
        let mut out = Writer::new();
        out.raw(TAG);
        out.count(self.slots.len());
        for slot in &self.slots {
            out.text(&slot.name());
            out.count(slot.shape.len());
            slot.shape.iter().for_each(|&size| out.u64(size as u64));
        }
        Hash::of(&out.finish())
    }

    /// Writes to `to` (`[other.entries]`) what this layout's vector `from` (`[entries]`) holds of the same rows: two
    /// layouts of one model may overlap, as an expert's row of the router and the router do. Vectors of another length
    /// are left alone.
    pub fn carry(&self, from: &Flat, other: &Self, to: &mut Flat) {
        if self.check_length(from.0.len()).is_err() || other.check_length(to.0.len()).is_err() {
            return;
        }
        for slot in &self.slots {
            for target in other.slots.iter().filter(|target| target.tensor == slot.tensor) {
                let (own, theirs) = (slot.held_rows(), target.held_rows());
                let width = slot.entries() / own.len().max(1);
                let shared = own.start.max(theirs.start)..own.end.min(theirs.end);
                if shared.is_empty() || width * theirs.len() != target.entries() {
                    continue;
                }
                let place = |slot: &Slot, first: usize| {
                    let start = slot.offset + (shared.start - first) * width;
                    start..start + shared.len() * width
                };
                to.0[place(target, theirs.start)].copy_from_slice(&from.0[place(slot, own.start)]);
            }
        }
    }

    /// Refuses a vector of another length.
    pub(crate) fn check_length(&self, got: usize) -> Result<(), LayoutError> {
        if got == self.entries { Ok(()) } else { Err(LayoutError::Length { expected: self.entries, got }) }
    }
}

/// The part of `name` that is meant, with its shape.
fn slot(name: &str, rows: Option<Range<usize>>, shape: &[usize]) -> Result<Slot, LayoutError> {
    let mut shape = shape.to_vec();
    if let Some(rows) = &rows {
        let held = shape.first().copied().unwrap_or(0);
        if rows.is_empty() || rows.end > held {
            return Err(LayoutError::Rows { tensor: name.to_owned(), expected: held, got: rows.clone() });
        }
        shape[0] = rows.len();
    }
    Ok(Slot { tensor: name.to_owned(), rows, shape, offset: 0 })
}

#[cfg(test)]
mod tests;
