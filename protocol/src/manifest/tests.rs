//! Canonical form, rules and signatures of manifests.

use neuro_primitives::{NodeKey, Untrusted};

use super::*;
use crate::codec::CodecError;
use crate::limits::{MAX_ASSET_BYTES, MAX_LAYERS, MAX_MANIFEST_BYTES};

fn tensor(name: &str, place: TensorPlace, shape: &[u64]) -> TensorEntry {
    let shape = shape.to_vec();
    let hash = Hash::of(name.as_bytes());
    let mut tensor =
        TensorEntry { name: name.to_owned(), place, tensor_type: TensorType::BF16, shape, length: 0, hash };
    tensor.length = tensor.shape_bytes().unwrap_or(0);
    tensor
}

fn expert(layer: u16, expert: u16) -> TensorPlace {
    TensorPlace::Expert(ExpertId { layer, expert })
}

fn manifest() -> Manifest {
    let config = b"{\"model_type\": \"olmoe\"}".to_vec();
    let asset = |name: &str, bytes: &[u8]| AssetEntry {
        name: name.to_owned(),
        length: bytes.len() as u64,
        hash: Hash::of(bytes),
    };
    Manifest {
        name: "Tiny MoE".to_owned(),
        architecture: "olmoe".to_owned(),
        engine_spec: 2,
        assets: vec![asset("config.json", &config), asset("tokenizer.json", b"{}")],
        config,
        activation_formats: vec![ActivationFormat::F32; 2],
        tensors: vec![
            tensor("embed", TensorPlace::Trunk, &[10, 4]),
            tensor("l0.e1.down", expert(0, 1), &[4, 8]),
            tensor("l0.e1.up", expert(0, 1), &[8, 4]),
            tensor("l1.e0.down", expert(1, 0), &[4, 8]),
            tensor("l1.e0.up", expert(1, 0), &[8, 4]),
            tensor("scale", TensorPlace::Trunk, &[]),
        ],
    }
}

/// The error of a manifest after `change`, from the rules and from the decoder alike.
fn broken(change: impl FnOnce(&mut Manifest)) -> ManifestError {
    let mut manifest = manifest();
    change(&mut manifest);
    let error = manifest.check().expect_err("a broken rule was not noticed");
    assert!(Manifest::from_canonical(&manifest.to_canonical()).is_err());
    error
}

#[test]
fn a_manifest_comes_back_and_its_hash_is_the_model() {
    let (manifest, bytes) = (manifest(), manifest().to_canonical());
    assert_eq!(Manifest::from_canonical(&bytes), Ok(manifest.clone()));
    assert_eq!(manifest.model_id(), ModelId(Hash::of(&bytes)));
}

#[test]
fn the_order_in_memory_does_not_change_the_model() {
    let mut shuffled = manifest();
    shuffled.tensors.reverse();
    shuffled.assets.reverse();
    assert_eq!(shuffled.to_canonical(), manifest().to_canonical());
    let mut other = manifest();
    other.tensors[0].hash = Hash([0; 32]);
    assert_ne!(other.model_id(), manifest().model_id());
}

#[test]
fn experts_and_their_sizes_are_listed() {
    let manifest = manifest();
    let (first, second) = (ExpertId { layer: 0, expert: 1 }, ExpertId { layer: 1, expert: 0 });
    assert_eq!(manifest.experts(), [first, second]);
    assert_eq!(manifest.expert_bytes(first), 2 * 2 * 32);
    assert_eq!(manifest.expert_bytes(ExpertId { layer: 1, expert: 1 }), 0);
    let names: Vec<&str> = manifest.expert_tensors(second).map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(names, ["l1.e0.down", "l1.e0.up"]);
    assert_eq!(manifest.trunk_bytes(), 2 * 40 + 2);
}

#[test]
fn bytes_in_another_order_or_twice_are_not_canonical() {
    let canonical = manifest().to_canonical();
    // Exchanges the first letters of two names of equal length, which leaves every length right.
    let swapped = |from: &[u8], to: &[u8]| -> Vec<u8> {
        let at = canonical.windows(from.len()).position(|window| window == from).unwrap();
        [&canonical[..at], to, &canonical[at + from.len()..]].concat()
    };
    let order = |bytes: Vec<u8>| matches!(Manifest::from_canonical(&bytes), Err(ManifestError::Order { .. }));
    assert!(order(swapped(b"l0.e1.down", b"l9.e1.down")));
    assert!(order(swapped(b"config.json", b"zonfig.json")));
    assert!(order(swapped(b"l1.e0.down", b"l0.e1.down")));
    assert!(!order(swapped(b"l0.e1.down", b"l0.e1.dowm")));
}

#[test]
fn names_that_repeat_are_refused() {
    let error = broken(|manifest| manifest.tensors[1].name = "embed".to_owned());
    assert_eq!(error, ManifestError::Order { previous: "embed".to_owned(), got: "embed".to_owned() });
}

#[test]
fn unknown_numbers_are_refused() {
    let bytes = manifest().to_canonical();
    let code_after_name = |name: &[u8], skip: usize, code: &[u8]| {
        let mut bytes = bytes.clone();
        let at = bytes.windows(name.len()).position(|window| window == name).unwrap() + name.len() + skip;
        bytes[at..at + code.len()].copy_from_slice(code);
        Manifest::from_canonical(&bytes).unwrap_err()
    };
    assert_eq!(code_after_name(b"embed", 1, &[3, 0]), ManifestError::Code { what: "tensor type", got: 3 });
    assert_eq!(code_after_name(b"embed", 0, &[2]), ManifestError::Code { what: "place of a tensor", got: 2 });
    let formats = |code: &[u8]| {
        let mut bytes = bytes.clone();
        let name = b"tokenizer.json";
        let at = bytes.windows(name.len()).position(|window| window == name).unwrap() + name.len() + 8 + 32 + 4;
        bytes[at..at + 2].copy_from_slice(code);
        Manifest::from_canonical(&bytes)
    };
    assert_eq!(formats(&[1, 0]), Ok(manifest()));
    let quantised = vec![ActivationFormat::Q8, ActivationFormat::F32];
    assert_eq!(formats(&[2, 0]), Ok(Manifest { activation_formats: quantised, ..manifest() }));
    assert_eq!(formats(&[7, 0]), Err(ManifestError::Code { what: "activation format", got: 7 }));
}

#[test]
fn another_kind_or_format_of_file_is_told_apart() {
    let mut bytes = manifest().to_canonical();
    bytes[8] = 2;
    assert_eq!(Manifest::from_canonical(&bytes), Err(ManifestError::Format { expected: 1, got: 2 }));
    bytes[0] = b'G';
    assert_eq!(Manifest::from_canonical(&bytes), Err(ManifestError::Magic));
    assert!(matches!(Manifest::from_canonical(b"GG"), Err(ManifestError::Codec(CodecError::Truncated { .. }))));
}

#[test]
fn lengths_agree_with_shape_and_type() {
    let error = broken(|manifest| manifest.tensors[0].length += 1);
    assert_eq!(error, ManifestError::Length { name: "embed".to_owned(), expected: 80, got: 81 });
    let error = broken(|manifest| manifest.tensors[0].tensor_type = TensorType::F32);
    assert_eq!(error, ManifestError::Length { name: "embed".to_owned(), expected: 160, got: 80 });
}

#[test]
fn a_tensor_of_blocks_has_whole_blocks_in_every_row() {
    for tensor_type in TensorType::ALL {
        let columns = 2 * tensor_type.block_elements() as u64;
        let expected = 2 * 5 * tensor_type.block_bytes() as u64;
        let mut good = manifest();
        good.tensors[0] = TensorEntry { tensor_type, ..tensor("embed", TensorPlace::Trunk, &[5, columns]) };
        good.tensors[0].length = expected;
        assert_eq!(Manifest::from_canonical(&good.to_canonical()), Ok(good.clone()), "{tensor_type}");
        let got = expected + 1;
        good.tensors[0].length = got;
        let error = ManifestError::Length { name: "embed".to_owned(), expected, got };
        assert_eq!(good.check(), Err(error), "{tensor_type}");
    }
}

#[test]
fn blocks_do_not_reach_from_one_row_into_the_next() {
    // Each has a whole number of blocks in all, but not in a row.
    for (tensor_type, shape) in [
        (TensorType::Q8_0, &[2, 16][..]),
        (TensorType::Mxfp4, &[32, 1]),
        (TensorType::Q4K, &[4, 2, 128]),
        (TensorType::Q6K, &[256, 255]),
        (TensorType::Q4_0, &[]),
        (TensorType::Q5K, &[u64::MAX]),
    ] {
        let row = shape.last().copied().unwrap_or(1);
        let error = broken(|manifest| {
            manifest.tensors[0].tensor_type = tensor_type;
            manifest.tensors[0].shape = shape.to_vec();
        });
        assert_eq!(error, ManifestError::Blocks { name: "embed".to_owned(), tensor_type, row });
    }
    let error = ManifestError::Blocks { name: "w".to_owned(), tensor_type: TensorType::Q4K, row: 128 };
    assert_eq!(error.to_string(), "\"w\": expected rows of a multiple of 256 elements for q4_k, got 128");
}

#[test]
fn the_largest_models_and_their_files_fit() {
    let mut large = manifest();
    let asset = AssetEntry { name: "tokenizer.json".to_owned(), length: 35_000_000, hash: Hash([1; 32]) };
    large.assets = vec![asset];
    // 60 layers of 384 experts with three matrices and three biases each.
    let entry = |layer, index, part: &str| {
        let name = format!("model.layers.{layer}.mlp.experts.{index}.{part}_proj.weight");
        let shape = vec![2048, 7168];
        let (tensor_type, length) = (TensorType::Q4K, 2048 * 7168 / 256 * 144);
        TensorEntry { name, place: expert(layer, index), tensor_type, shape, length, hash: Hash([0; 32]) }
    };
    let parts = ["gate", "up", "down", "gate_bias", "up_bias", "down_bias"];
    let experts = (0..60).flat_map(|layer| (0..384).map(move |index| (layer, index)));
    large.tensors = experts.flat_map(|(layer, index)| parts.map(|part| entry(layer, index, part))).collect();
    large.tensors.sort_by(|a, b| a.name.cmp(&b.name));
    large.activation_formats = vec![ActivationFormat::Q8; 60];
    assert_eq!(large.check(), Ok(()));
    let bytes = large.to_canonical().len();
    assert!(bytes < MAX_MANIFEST_BYTES, "{bytes} bytes");
}

#[test]
fn shapes_that_overflow_or_are_empty_are_refused() {
    for shape in [vec![1 << 32, 1 << 32], vec![u64::MAX], vec![1 << 63], vec![0, 4], vec![u64::MAX, 0]] {
        let error = broken(|manifest| manifest.tensors[0].shape.clone_from(&shape));
        assert_eq!(error, ManifestError::Shape { name: "embed".to_owned(), shape });
    }
    let error = broken(|manifest| manifest.tensors[0].shape = vec![1; 5]);
    assert!(matches!(error, ManifestError::Count { what: "dimensions", most: 4, got: 5, .. }));
}

#[test]
fn the_sum_of_all_lengths_fits_64_bits() {
    let error = broken(|manifest| {
        for tensor in &mut manifest.tensors[..2] {
            tensor.shape = vec![(1 << 63) - 1];
            tensor.length = u64::MAX - 1;
        }
    });
    assert_eq!(error, ManifestError::TotalLength);
}

#[test]
fn names_cannot_leave_their_folder_or_rewrite_a_terminal() {
    for name in ["../x", "a/b", "", "..", ".env", "a\\b", "a b", "bäse"] {
        let error = broken(|manifest| name.clone_into(&mut manifest.assets[0].name));
        assert_eq!(error, ManifestError::Name { what: "an asset", got: name.to_owned() });
    }
    assert!(matches!(broken(|manifest| manifest.name = "a\u{1b}[2J".to_owned()), ManifestError::Name { .. }));
    assert!(matches!(broken(|manifest| manifest.name = "x".repeat(129)), ManifestError::Name { .. }));
    assert!(matches!(broken(|manifest| manifest.architecture.clear()), ManifestError::Name { .. }));
    assert!(matches!(broken(|manifest| manifest.tensors[0].name = "em bed".to_owned()), ManifestError::Name { .. }));
}

#[test]
fn assets_are_bounded_and_the_configuration_is_the_same_twice() {
    let got = MAX_ASSET_BYTES + 1;
    let error = broken(|manifest| manifest.assets[1].length = got);
    assert!(matches!(error, ManifestError::AssetTooLarge { limit: MAX_ASSET_BYTES, .. }));
    assert_eq!(broken(|manifest| manifest.config.push(b' ')), ManifestError::Config);
}

#[test]
fn counts_have_a_least_and_a_most() {
    assert!(matches!(broken(|manifest| manifest.tensors.clear()), ManifestError::Count { what: "tensors", .. }));
    assert!(matches!(broken(|manifest| manifest.config.clear()), ManifestError::Count { .. }));
    let formats = vec![ActivationFormat::F32; MAX_LAYERS + 1];
    let error = broken(|manifest| manifest.activation_formats = formats);
    assert!(matches!(error, ManifestError::Count { what: "layers", got: 1025, .. }));
    let error = broken(|manifest| manifest.activation_formats.truncate(1));
    assert_eq!(error, ManifestError::Layer { expert: ExpertId { layer: 1, expert: 0 }, layers: 1 });
}

#[test]
fn an_absurd_count_of_tensors_is_refused_before_room_is_made() {
    let mut manifest = manifest();
    manifest.tensors.clear();
    let mut bytes = manifest.to_canonical();
    let at = bytes.len() - 4;
    for (count, reason) in [(1 << 18, "expected 13369344 more bytes"), (u32::MAX, "expected at most 262144 tensors")] {
        bytes[at..].copy_from_slice(&count.to_le_bytes());
        let error = Manifest::from_canonical(&bytes).unwrap_err().to_string();
        assert!(error.starts_with(reason), "{error}");
    }
}

#[test]
fn a_signed_manifest_is_believed_only_whole() {
    let key = NodeKey::from_secret(&[1; 32]);
    let signed = SignedManifest::sign(&manifest(), &key);
    let verified = SignedManifest::decode(&signed.encode()).and_then(SignedManifest::verify).unwrap();
    assert_eq!(verified.manifest(), &manifest());
    assert_eq!((verified.publisher(), verified.model_id()), (key.node_id(), manifest().model_id()));
    assert_eq!(verified.signed(), &signed);
}

#[test]
fn any_flipped_bit_of_a_signed_manifest_is_noticed() {
    let encoded = SignedManifest::sign(&manifest(), &NodeKey::from_secret(&[1; 32])).encode();
    for at in 0..encoded.len() {
        let mut flipped = encoded.clone();
        flipped[at] ^= 1 << (at % 8);
        assert!(SignedManifest::decode(&flipped).and_then(SignedManifest::verify).is_err(), "byte {at}");
    }
}

#[test]
fn a_signature_by_another_key_is_forged() {
    let (publisher, liar) = (NodeKey::from_secret(&[1; 32]), NodeKey::from_secret(&[2; 32]));
    let signed = SignedManifest { publisher: publisher.node_id(), ..SignedManifest::sign(&manifest(), &liar) };
    let error = SignedManifest::verify(Untrusted::new(signed)).unwrap_err();
    assert_eq!(error, ManifestError::Forged { publisher: publisher.node_id() });
    assert!(!error.is_retryable() && error.blames().is_none());
}

#[test]
fn a_true_signature_does_not_excuse_a_bad_manifest() {
    let mut bad = manifest();
    bad.tensors[0].length = 1;
    let signed = SignedManifest::sign(&bad, &NodeKey::from_secret(&[1; 32]));
    assert!(matches!(SignedManifest::verify(Untrusted::new(signed)), Err(ManifestError::Length { .. })));
}

#[test]
fn nothing_may_follow_a_signed_manifest() {
    let mut encoded = SignedManifest::sign(&manifest(), &NodeKey::from_secret(&[1; 32])).encode();
    encoded.push(0);
    let trailing = ManifestError::Codec(CodecError::Trailing { left: 1 });
    assert_eq!(SignedManifest::decode(&encoded).map(|_| ()), Err(trailing));
}
