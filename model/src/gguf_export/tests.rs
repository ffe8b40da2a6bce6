//! A checkpoint described for a GGUF file comes back as the same model.

use std::path::PathBuf;

use super::*;
use crate::gguf_writer::{self, FileHeader, GgufWriteError, TensorEntry};

fn fixture(name: &str) -> Checkpoint {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name);
    Checkpoint::open(&folder).expect("the fixture is good")
}

const FIXTURES: [&str; 3] = ["mixtral-7-float32", "qwen3_moe-8-bfloat16", "olmoe-9-float16"];

fn put_rows(
    checkpoint: &Checkpoint,
    tensor: &ExportTensor,
    sink: &mut gguf_writer::TensorSink<'_>,
) -> Result<(), ExportError> {
    for source in &tensor.sources {
        let stored = checkpoint.tensor(source)?;
        let rows = stored.shape[0];
        let row_bytes = stored.bytes.len() / rows;
        for row in 0..rows {
            sink.put(&stored.bytes[tensor.rows.source(row, rows) * row_bytes..][..row_bytes])?;
        }
    }
    Ok(())
}

/// The checkpoint as a file, every tensor in the type it is stored in.
fn exported(checkpoint: &Checkpoint, path: &std::path::Path) {
    let tensors = tensors(checkpoint).expect("every tensor has a place");
    let stored = |tensor: &ExportTensor| checkpoint.tensor(&tensor.sources[0]).expect("it is there").tensor_type;
    let entry = |tensor: &ExportTensor| TensorEntry {
        name: tensor.name.clone(),
        tensor_type: stored(tensor),
        shape: tensor.shape.clone(),
    };
    let header = FileHeader {
        metadata: metadata(checkpoint, TensorType::F32).expect("the format has words for it"),
        tensors: tensors.iter().map(entry).collect(),
    };
    let mut all = tensors.iter();
    gguf_writer::write::<ExportError>(path, &header, |_, sink| match all.next() {
        Some(tensor) => put_rows(checkpoint, tensor, sink),
        None => Err(GgufWriteError::Name { name: String::new() }.into()),
    })
    .expect("the file is written");
}

#[test]
fn what_was_exported_reads_as_the_same_model() {
    for name in FIXTURES {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("model.gguf");
        let original = fixture(name);
        exported(&original, &path);
        let again = Checkpoint::open(&path).expect("our own file can be read");
        let expected: Vec<&str> = original.tensor_names().collect();
        assert_eq!(again.tensor_names().collect::<Vec<_>>(), expected, "{name}");
        let (ours, theirs) = (again.config(), original.config());
        assert_eq!((ours.architecture, &ours.router, &ours.eos), (theirs.architecture, &theirs.router, &theirs.eos));
        assert_eq!((ours.d_expert, ours.head_dim, ours.rms_eps), (theirs.d_expert, theirs.head_dim, theirs.rms_eps));
        let text = "the expert router votes: share a secret network, 12345 times?";
        let ids = |checkpoint: &Checkpoint| {
            checkpoint.tokenizer().expect("a tokenizer").encode(text, false).expect("it encodes")
        };
        assert_eq!(ids(&again), ids(&original), "{name}");
        let last = expected.last().expect("there are tensors");
        let bytes = |checkpoint: &Checkpoint| checkpoint.tensor(last).expect("it is there").bytes.to_vec();
        assert_eq!(bytes(&again), bytes(&original), "{name}");
    }
}

#[test]
fn experts_are_stacked_and_small_tensors_stay_as_they_are() {
    let checkpoint = fixture(FIXTURES[0]);
    let all = tensors(&checkpoint).expect("every tensor has a place");
    let find = |name: &str| all.iter().find(|tensor| tensor.name == name).expect("it is there");
    let stack = find("blk.1.ffn_down_exps.weight");
    assert_eq!((stack.shape.as_slice(), stack.sources.len(), stack.keep_f32), (&[8, 64, 96][..], 8, false));
    assert_eq!(stack.sources[7], "model.layers.1.block_sparse_moe.experts.7.w2.weight");
    assert!(find("blk.0.ffn_gate_inp.weight").keep_f32 && find("output_norm.weight").keep_f32);
    assert_eq!(find("blk.0.attn_k.weight").rows, RowOrder::Interleaved { heads: 2 });
    assert_eq!(find("blk.0.attn_v.weight").rows, RowOrder::AsStored);
}

#[test]
fn interleaved_rows_take_turns_from_both_halves() {
    let order = RowOrder::Interleaved { heads: 2 };
    let sources: Vec<usize> = (0..8).map(|row| order.source(row, 8)).collect();
    assert_eq!(sources, [0, 2, 1, 3, 4, 6, 5, 7]);
    assert_eq!(RowOrder::AsStored.source(5, 8), 5);
}

#[test]
fn a_tokenizer_that_the_format_has_no_name_for_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/mixtral-7-float32");
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        std::fs::copy(source.join(file), folder.path().join(file)).expect("copied");
    }
    let path = folder.path().join("tokenizer.json");
    let change = |from: &str, to: &str| {
        let text = std::fs::read_to_string(source.join("tokenizer.json")).expect("it is there");
        assert!(text.contains(from));
        std::fs::write(&path, text.replacen(from, to, 1)).expect("written");
        Vocabulary::of(&Checkpoint::open(folder.path()).expect("it opens")).expect_err("refused").to_string()
    };
    let error = change("\"ByteLevel\"", "\"Whitespace\"");
    assert!(error.starts_with("tokenizer.json: no name in GGUF files for the pre-tokenizer {"), "{error}");
    assert_eq!(change("\"BPE\"", "\"Unigram\""), "tokenizer.json: the model is Unigram, expected BPE");
    assert_eq!(change("\"!\": 3", "\"!\": 9000"), "tokenizer.json: token 9000 is beyond the vocabulary of 384");
}

#[test]
fn settings_that_the_format_has_no_key_for_are_refused() {
    for (name, expected) in [
        ("gpt_oss-7-bfloat16", "swiglu_limit is 1.5, expected 7: GGUF files have no key for another"),
        ("deepseek_v2-7-bfloat16", "rope_parameters.attention_factor is 0.9"),
    ] {
        let error = metadata(&fixture(name), TensorType::F32).expect_err("other programs would compute something else");
        assert!(error.to_string().starts_with(expected) && !error.is_retryable(), "{error}");
    }
    for name in ["gpt_oss-16-bfloat16", "deepseek_v3-7-bfloat16", "llama_cpp/deepseek_v2"] {
        assert!(metadata(&fixture(name), TensorType::F32).is_ok(), "{name}");
    }
}
