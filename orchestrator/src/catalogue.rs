//! The model's experts, numbered densely so that the hot indices are plain vectors.

use std::ops::Range;

use neuro_primitives::ExpertId;

use crate::settings::ExpertSpec;

/// All experts, ascending by id. An expert's *index* is its place here.
#[derive(Debug, Clone)]
pub(crate) struct Catalogue {
    specs: Vec<ExpertSpec>,
}

impl Catalogue {
    /// Sorts the experts; of equal ids the first counts.
    pub(crate) fn new(mut specs: Vec<ExpertSpec>) -> Self {
        specs.sort_by_key(|spec| spec.id);
        specs.dedup_by_key(|spec| spec.id);
        Self { specs }
    }

    /// How many experts there are.
    pub(crate) fn len(&self) -> usize {
        self.specs.len()
    }

    /// The index of an expert, if the model has it.
    pub(crate) fn index(&self, id: ExpertId) -> Option<usize> {
        self.specs.binary_search_by_key(&id, |spec| spec.id).ok()
    }

    /// The expert at an index.
    pub(crate) fn id(&self, index: usize) -> ExpertId {
        self.specs[index].id
    }

    /// What the expert takes of a memory limit, in bytes.
    pub(crate) fn bytes(&self, index: usize) -> u64 {
        self.specs[index].bytes
    }

    /// The indices of one layer's experts.
    pub(crate) fn layer(&self, layer: u16) -> Range<usize> {
        let start = self.specs.partition_point(|spec| spec.id.layer < layer);
        let end = self.specs.partition_point(|spec| spec.id.layer <= layer);
        start..end
    }

    /// Expert number first, layer second: walking in this order spreads each layer over the workers.
    pub(crate) fn across_layers(&self, index: usize) -> (u16, u16) {
        let id = self.id(index);
        (id.expert, id.layer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(layer: u16, expert: u16, bytes: u64) -> ExpertSpec {
        ExpertSpec { id: ExpertId { layer, expert }, bytes }
    }

    #[test]
    fn layers_are_ranges_and_equal_ids_count_once() {
        let catalogue = Catalogue::new(vec![spec(3, 1, 7), spec(1, 0, 5), spec(3, 0, 6), spec(3, 1, 9)]);
        assert_eq!(catalogue.len(), 3);
        assert_eq!((catalogue.layer(1), catalogue.layer(2), catalogue.layer(3)), (0..1, 1..1, 1..3));
        assert_eq!(catalogue.index(ExpertId { layer: 3, expert: 1 }), Some(2));
        assert_eq!(catalogue.index(ExpertId { layer: 2, expert: 1 }), None);
        assert_eq!(catalogue.bytes(2), 7);
    }
}
