//! What is chosen, in which order, and which files are refused.

use super::*;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

/// A file of f32 tensors that count upwards from 0 in the order given.
fn file(tensors: &[(&str, &[usize])]) -> Vec<u8> {
    let mut next = 0.0;
    let data: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, shape)| {
            let mut bytes = Vec::new();
            for _ in 0..shape.iter().product::<usize>() {
                bytes.extend(f32::to_le_bytes(next));
                next += 1.0;
            }
            ((*name).to_owned(), shape.to_vec(), bytes)
        })
        .collect();
    typed(Dtype::F32, &data)
}

fn typed(dtype: Dtype, data: &[(String, Vec<usize>, Vec<u8>)]) -> Vec<u8> {
    let views = data.iter().map(|(name, shape, bytes)| (name, TensorView::new(dtype, shape.clone(), bytes).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

fn layout(file: &[u8], patterns: &[&str]) -> Result<Layout, LayoutError> {
    Layout::of(&TensorTable::from_bytes(file).unwrap(), &TensorChoice::parse(patterns.iter().copied())?)
}

const MODEL: &[(&str, &[usize])] = &[("a.weight", &[2, 2]), ("experts.8.up", &[3]), ("router", &[4, 2])];

#[test]
fn the_vector_has_the_chosen_tensors_in_the_order_of_their_names() {
    let file = file(MODEL);
    let layout = layout(&file, &["router[1..3]", "experts.8.*"]).unwrap();
    assert_eq!(layout.entries(), 7);
    assert_eq!(layout.slots().iter().map(Slot::name).collect::<Vec<_>>(), ["experts.8.up", "router[1..3]"]);
    assert_eq!(layout.read_model(&file).unwrap().0, [4.0, 5.0, 6.0, 9.0, 10.0, 11.0, 12.0]);
}

#[test]
fn a_vector_survives_its_file() {
    let layout = layout(&file(MODEL), &["router[1]", "a.*"]).unwrap();
    let flat = Flat(vec![1.5, -0.0, 3.0e-40, 4.0, 5.0, 6.0]);
    let back = layout.read(&layout.write(&flat).unwrap()).unwrap();
    assert_eq!(
        back.0.iter().map(|v| v.to_bits()).collect::<Vec<_>>(),
        flat.0.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
    );
}

#[test]
fn replacing_rows_leaves_every_other_bit() {
    let before = file(MODEL);
    let layout = layout(&before, &["router[2]"]).unwrap();
    let after = layout.replace(&before, &Flat(vec![-1.0, -2.0])).unwrap();
    let all = |file: &[u8]| self::layout(file, &["*"]).unwrap().read_model(file).unwrap().0;
    let mut expected = all(&before);
    expected[11..13].copy_from_slice(&[-1.0, -2.0]);
    assert_eq!(all(&after), expected);
}

#[test]
fn narrow_types_are_widened_and_written_back() {
    let half: Vec<u8> = [1.0, -2.5].iter().flat_map(|&v| bf16_bytes(v)).collect();
    let file = typed(Dtype::BF16, &[("w".into(), vec![2], half)]);
    let layout = layout(&file, &["w"]).unwrap();
    assert_eq!(layout.read_model(&file).unwrap().0, [1.0, -2.5]);
    let changed = layout.replace(&file, &Flat(vec![0.5, 8.0])).unwrap();
    assert_eq!(layout.read_model(&changed).unwrap().0, [0.5, 8.0]);
}

fn bf16_bytes(value: f32) -> [u8; 2] {
    half::bf16::from_f32(value).to_le_bytes()
}

#[test]
fn the_hash_tells_layouts_apart() {
    let file = file(MODEL);
    let hash = |patterns: &[&str]| layout(&file, patterns).unwrap().hash();
    assert_eq!(hash(&["router[1]"]), hash(&["router[1..2]"]));
    assert_ne!(hash(&["router[1]"]), hash(&["router[2]"]));
    assert_ne!(hash(&["a.*"]), hash(&["router[0..2]"]), "the same number of entries");
}

#[test]
fn patterns_find_what_they_say() {
    let finds = |pattern: &str, name: &str| Pattern::parse(pattern).unwrap().finds(name);
    assert!(finds("*", "anything"));
    assert!(finds("a*c*e", "abcde"));
    assert!(finds("a*b", "aabab"));
    assert!(!finds("a*b", "aba"));
    assert!(!finds("layers.1.*", "layers.11.up"));
    for wrong in ["", "[1]", "a[]", "a[2..2]", "a[x]", "a]", "a[1][2]"] {
        assert_eq!(Pattern::parse(wrong), Err(LayoutError::Pattern { got: wrong.into() }));
    }
}

#[test]
fn a_choice_that_cannot_be_met_is_named() {
    let file = file(MODEL);
    let error = |patterns: &[&str]| layout(&file, patterns).unwrap_err();
    assert_eq!(error(&["a.*", "rooter"]), LayoutError::FindsNothing { pattern: "rooter".into() });
    assert_eq!(error(&["router[3..5]"]), LayoutError::Rows { tensor: "router".into(), expected: 4, got: 3..5 });
    let bytes = typed(Dtype::I8, &[("ids".into(), vec![2], vec![0; 2])]);
    assert_eq!(layout(&bytes, &["ids"]).unwrap_err(), LayoutError::Type { tensor: "ids".into(), got: "I8".into() });
    assert_eq!(
        Layout::of_shapes([("w", vec![1 << 20, 1 << 20])]).unwrap_err(),
        LayoutError::TooLarge { limit: MOST_ENTRIES, tensor: "w".into() }
    );
    let beyond_usize = Layout::of_shapes([("w", vec![usize::MAX, 3])]).unwrap_err();
    assert!(matches!(beyond_usize, LayoutError::TooLarge { .. }));
}

#[test]
fn an_update_that_does_not_fit_is_named() {
    let layout = Layout::of_shapes([("a", vec![2]), ("b", vec![1])]).unwrap();
    let error = |tensors: &[(&str, &[usize])]| layout.read(&file(tensors)).unwrap_err();
    assert_eq!(error(&[("a", &[2])]), LayoutError::Missing { tensor: "b".into() });
    assert_eq!(error(&[("a", &[2]), ("b", &[1]), ("c", &[1])]), LayoutError::Extra { tensor: "c".into() });
    assert_eq!(
        error(&[("a", &[1, 2]), ("b", &[1])]),
        LayoutError::Shape { tensor: "a".into(), expected: vec![2], got: vec![1, 2] }
    );
    let halves = typed(Dtype::F16, &[("a".into(), vec![2], vec![0; 4]), ("b".into(), vec![1], vec![0; 2])]);
    assert_eq!(layout.read(&halves).unwrap_err(), LayoutError::Type { tensor: "a".into(), got: "F16".into() });
    assert_eq!(layout.write(&Flat(vec![0.0])).unwrap_err(), LayoutError::Length { expected: 3, got: 1 });
    assert!(matches!(layout.read(b"rubbish"), Err(LayoutError::Header { .. })));
}

#[test]
fn a_number_that_is_none_is_named_with_its_place() {
    let layout = Layout::of_shapes([("a", vec![2]), ("b", vec![2])]).unwrap();
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let file = layout.write(&Flat(vec![1.0, 2.0, 3.0, bad])).unwrap();
        let LayoutError::NotFinite { tensor, index, .. } = layout.read(&file).unwrap_err() else { panic!() };
        assert_eq!((tensor.as_str(), index), ("b", 1));
    }
}

#[test]
fn overlapping_layouts_share_their_rows() {
    let file = file(MODEL);
    let (expert, router) =
        (layout(&file, &["experts.8.up", "router[1..3]"]).unwrap(), layout(&file, &["router"]).unwrap());
    let mut to = Flat(vec![0.0; 8]);
    expert.carry(&Flat(vec![9.0, 9.0, 9.0, 1.0, 2.0, 3.0, 4.0]), &router, &mut to);
    assert_eq!(to.0, [0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 0.0, 0.0]);
    let mut back = Flat(vec![0.0; 7]);
    router.carry(&to, &expert, &mut back);
    assert_eq!(back.0, [0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn a_file_of_rows_has_the_layout_that_wrote_it() {
    let all = Layout::of_shapes([("router", vec![3, 2]), ("router.bias", vec![3]), ("expert", vec![2])]).unwrap();
    let file = all.write(&Flat(vec![1.0; 11])).unwrap();
    let table = TensorTable::from_bytes(&file).unwrap();
    let choice = TensorChoice::parse(["router[1]", "router.bias", "expert"]).unwrap();
    let part = Layout::of(&table, &choice).unwrap();
    let written = part.write(&part.read_model(&file).unwrap()).unwrap();
    let table = TensorTable::from_bytes(&written).unwrap();
    let read = Layout::of_shapes(table.iter().map(|(name, entry)| (name, entry.shape.clone()))).unwrap();
    assert_eq!(read.hash(), part.hash(), "although the file lists them in another order");
}

#[test]
fn a_union_has_every_row_once() {
    let all = Layout::of_shapes([("router", vec![3, 2]), ("expert", vec![2])]).unwrap();
    let file = all.write(&Flat((0..8).map(|value| value as f32).collect())).unwrap();
    let table = TensorTable::from_bytes(&file).unwrap();
    let of = |patterns: &[&str]| Layout::of(&table, &TensorChoice::parse(patterns.iter().copied()).unwrap()).unwrap();
    let (one, two, router) = (of(&["expert", "router[0]"]), of(&["router[2]"]), of(&["router"]));
    let names = |layout: &Layout| layout.slots().iter().map(Slot::name).collect::<Vec<_>>();
    let rows = Layout::union([&two, &one]).unwrap();
    assert_eq!(names(&rows), ["expert", "router[0..1]", "router[2..3]"]);
    assert_eq!(names(&Layout::union([&one, &two, &router]).unwrap()), ["expert", "router"]);
    let mut flat = Flat(vec![0.0; rows.entries()]);
    for layout in [&one, &two] {
        layout.carry(&layout.read_model(&file).unwrap(), &rows, &mut flat);
    }
    assert_eq!(flat.0, [0.0, 1.0, 2.0, 3.0, 6.0, 7.0]);
}
