//! Which stretches a choice means, and that nothing else is touched.

use neuro_primitives::ExpertId;
use proptest::prelude::*;

use super::*;
use crate::tests::{same_bits, tiny};

fn parts(choice: &TrainedTensors) -> Result<TrainedParts, ModelError> {
    let model = tiny();
    TrainedParts::of(model.config(), model.weights(), choice)
}

fn some_expert(router_rows: bool) -> TrainedTensors {
    TrainedTensors::Experts { experts: vec![ExpertId { layer: 1, expert: 2 }], router_rows }
}

#[test]
fn each_choice_has_its_number_of_entries() {
    // vocabulary 11, width 8, 3 experts of 6, 2 layers; attention 8·16 + 2·8·8 + 16·8.
    let of = |choice: &TrainedTensors| parts(choice).unwrap().entries();
    let (expert, attention) = (3 * 6 * 8, 8 * 16 + 2 * 8 * 8 + 16 * 8);
    assert_eq!(of(&TrainedTensors::All), 2 * 11 * 8 + 8 + 2 * (attention + 2 * 8 + 3 * 8 + 3 * expert));
    assert_eq!(of(&TrainedTensors::Routers), 2 * 3 * 8);
    assert_eq!(of(&TrainedTensors::RouterRows(vec![0, 2])), 2 * 2 * 8);
    assert_eq!(of(&some_expert(false)), expert);
    assert_eq!(of(&some_expert(true)), expert + 8);
}

#[test]
fn a_router_row_lies_where_the_expert_has_it() {
    let parts = parts(&some_expert(true)).unwrap();
    let router = parts.stretches().iter().find(|stretch| stretch.name.ends_with("gate.weight")).unwrap();
    assert_eq!(router.name, "model.layers.1.block_sparse_moe.gate.weight");
    assert_eq!((router.rows.clone(), router.elements()), (2..3, 16..24));
}

#[test]
fn what_is_not_there_or_chosen_twice_is_refused() {
    let said = |choice: &TrainedTensors| parts(choice).expect_err("it must be refused").to_string();
    assert!(said(&TrainedTensors::RouterRows(vec![3])).contains("got 3..4"));
    assert!(said(&TrainedTensors::RouterRows(vec![1, 1])).contains("each once"));
    assert!(said(&TrainedTensors::RouterRows(vec![])).contains("at least one tensor"));
    assert!(said(&TrainedTensors::Tensors(vec!["model.nothing".into()])).contains("model.nothing"));
    let far = TrainedTensors::Experts { experts: vec![ExpertId { layer: 2, expert: 0 }], router_rows: true };
    assert!(said(&far).contains("layers.2"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_written_is_read_and_all_else_keeps_its_bits(seed in any::<u64>(), router_rows in any::<bool>()) {
        let model = tiny();
        let parts = parts(&some_expert(router_rows)).unwrap();
        let mut draw = crate::low_rank::Draw(seed);
        let vector: Vec<f32> = (0..parts.entries()).map(|_| draw.symmetric()).collect();
        let mut weights = model.weights().clone();
        parts.write(&vector, &mut weights).unwrap();
        prop_assert!(same_bits(&parts.read(&weights).unwrap(), &vector));
        let old = parts.read(model.weights()).unwrap();
        parts.write(&old, &mut weights).unwrap();
        prop_assert_eq!(&weights, model.weights());
    }
}

#[test]
fn a_vector_of_another_length_is_refused() {
    let parts = parts(&some_expert(true)).unwrap();
    let mut weights = tiny().weights().clone();
    let error = parts.write(&[0.0; 5], &mut weights).expect_err("it must be refused");
    assert_eq!(error.to_string(), "expected 152 entries, got 5");
    assert_eq!(&weights, tiny().weights());
}

#[test]
fn neighbouring_rows_are_one_stretch() {
    let parts = parts(&TrainedTensors::RouterRows(vec![2, 1])).unwrap();
    assert_eq!(parts.stretches().len(), 2, "one a layer");
    assert_eq!(parts.stretches()[0].rows, 1..3);
}

#[test]
fn a_tasks_layout_means_the_same_vector() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let mut weights = tiny().weights().clone();
    weights.write_bf16(&path, |_| true).unwrap();
    weights.round_to_bf16();
    let (_, table) = neuro_model::tensor_file::open(&path).unwrap();
    for choice in [TrainedTensors::All, TrainedTensors::RouterRows(vec![1, 2]), some_expert(true)] {
        let parts = parts(&choice).unwrap();
        let patterns = parts.patterns();
        let chosen = neuro_fl_aggregator::TensorChoice::parse(patterns.iter().map(String::as_str)).unwrap();
        let layout = Layout::of(&table, &chosen).unwrap();
        let again = TrainedParts::of_layout(&layout, &weights).unwrap();
        assert!(same_bits(&again.read(&weights).unwrap(), &parts.read(&weights).unwrap()), "{choice:?}");
    }
}
