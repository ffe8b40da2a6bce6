//! Upper bounds on everything that travels. A decoder refuses what exceeds them before it allocates.
//!
//! Both sides must agree on the bounds that shape a frame: a change of one of those is a new wire version.

use neuro_primitives::ActivationFormat;

/// Rows of one task. A prompt is cut into chunks of this many rows: at `d_model` 4,096 a chunk of f32 is 8 MiB, which a
/// worker's queue can hold a few of. Doubling it doubles every worker's buffers and gains nothing: a chunk of 512 rows
/// already keeps an expert's matrices busy.
pub const MAX_ROWS_PER_TASK: usize = 512;

/// Experts that one row may be sent to on one worker. Models choose 1 to 22 of a layer's experts today.
pub const MAX_ROUTES_PER_ROW: usize = 64;

/// Digests of one answer: one per route of a full task, 1 MiB. They are the smaller part of an answer: 32 bytes a route
/// beside 8 × `d_model` a row.
pub const MAX_DIGESTS_PER_ANSWER: usize = MAX_ROWS_PER_TASK * MAX_ROUTES_PER_ROW;

/// Bytes of one digest.
pub const DIGEST_BYTES: usize = 32;

/// Width of a hidden state. The widest public model has 18,432; with 32,768 the sums of a full answer are 128 MiB.
pub const MAX_D_MODEL: usize = 32_768;

/// Bytes of the explanation in a failure: a few sentences. A peer's text is kept in logs, so it must not be long.
pub const MAX_ERROR_TEXT_BYTES: usize = 512;

/// The first frame of a caller. It comes from a peer about whom nothing is known yet, so it gets no more room than
/// the hello has (45 bytes) and a little for later versions.
pub const MAX_HELLO_BYTES: usize = 64;

/// The first frame of a worker: a welcome, or a failure with its text.
pub const MAX_WELCOME_BYTES: usize = MAX_FAILURE_BYTES;

/// A failure: kind, optional task, code, length of the text, text.
pub const MAX_FAILURE_BYTES: usize = 1 + (1 + 8) + 2 + (4 + MAX_ERROR_TEXT_BYTES);

/// A manifest's canonical bytes. An entry takes about 130 bytes: a model of 60 layers with 384 experts each has 69,000
/// tensors and 9 MB of manifest, whether its file keeps experts apart or stacked. The manifest travels in one message and is held in memory by every node.
pub const MAX_MANIFEST_BYTES: usize = 32 << 20;

/// A manifest with its publisher, signature and length.
pub const MAX_SIGNED_MANIFEST_BYTES: usize = MAX_MANIFEST_BYTES + 32 + 64 + 4;

/// Tensors of a manifest: four times those of the largest public model.
pub const MAX_TENSORS: usize = 1 << 18;

/// Dimensions of a tensor.
pub const MAX_RANK: usize = 4;

/// Layers of a model. Models have up to about 130.
pub const MAX_LAYERS: usize = 1_024;

/// Files beside the tensors: configuration, tokenizer, chat template and a few more.
pub const MAX_ASSETS: usize = 32;

/// Bytes of one such file, which is read into memory. The largest public tokenizer has 35 MB.
pub const MAX_ASSET_BYTES: u64 = 128 << 20;

/// Bytes of a model's `config.json`, which travels inside the manifest. Real ones have a few KB, and so have those made
/// from the metadata of a GGUF file: its vocabulary, most of that metadata, goes to the tokenizer.
pub const MAX_CONFIG_BYTES: usize = 1 << 20;

/// Bytes of a tensor's name.
pub const MAX_TENSOR_NAME_BYTES: usize = 256;

/// Bytes of a model's, an architecture's or an asset's name.
pub const MAX_NAME_BYTES: usize = 128;

/// Bulk data (weights, assets) travels in pieces of this size, so that a task's frame on the same connection never
/// waits for more than one of them.
pub const CHUNK_BYTES: usize = 128 << 10;

/// Addresses of one kind in a ticket. A ticket is pasted by hand: a machine's first few addresses must do.
pub const MAX_TICKET_ADDRESSES: usize = 8;

/// Bytes of a federated task's name, as docs/spec/secagg.md section 3 has it.
pub const MAX_TASK_NAME_BYTES: usize = 64;

/// Bytes of one address in a ticket: a DNS name has at most 253, a relayed multiaddress about 180.
pub const MAX_ADDRESS_BYTES: usize = 280;

/// Characters of a ticket's text, white space included: the largest ticket has 7,490.
pub const MAX_TICKET_TEXT_BYTES: usize = 8 << 10;

/// Bytes of a task's payload before its rows: kind, task, model, engine, layer, deadline, format, rows, width.
pub(crate) const TASK_HEAD_BYTES: usize = 1 + 8 + 32 + 4 + 2 + 4 + 2 + 2 + 4;

/// Bytes of an answer's payload beside its rows and digests: kind, task, compute time, rows, width, count of digests.
pub(crate) const ANSWER_HEAD_BYTES: usize = 1 + 8 + 4 + 2 + 4 + 2;

/// The largest payload that a worker of a model of this width need accept: a full task. One limit for all of a model's
/// layers: that of f32, the format with the longest rows.
#[must_use]
pub const fn task_frame_limit(d_model: usize) -> usize {
    let row = row_routes_bytes(MAX_ROUTES_PER_ROW) + ActivationFormat::F32.row_bytes(bounded_width(d_model));
    TASK_HEAD_BYTES + MAX_ROWS_PER_TASK * row
}

/// The largest payload that a caller of a model of this width need accept: an answer of 512 fixed-point rows,
/// each with the digests of 64 routes.
#[must_use]
pub const fn answer_frame_limit(d_model: usize) -> usize {
    let row = 1 + 8 * bounded_width(d_model) + MAX_ROUTES_PER_ROW * DIGEST_BYTES;
    let answer = ANSWER_HEAD_BYTES + MAX_ROWS_PER_TASK * row;
    if answer > MAX_FAILURE_BYTES { answer } else { MAX_FAILURE_BYTES }
}

/// Bytes of a row's routes in a task: their count, then expert and gate of each.
pub(crate) const fn row_routes_bytes(routes: usize) -> usize {
    2 + routes * (2 + 4)
}

/// A width that cannot make the limits above overflow.
const fn bounded_width(d_model: usize) -> usize {
    if d_model < MAX_D_MODEL { d_model } else { MAX_D_MODEL }
}
