//! The values behind the vectors. They are part of the specification: change none within a wire version, add new ones.

use neuro_primitives::contribution::digest;
use neuro_primitives::receipt::{AnswerTree, Proof, Totals, Voucher, root};
use neuro_primitives::{
    Activations, ExpertId, Hash, NodeKey, QuantisedRows, Route, Routes, RowSum, Rows, TaskId, UnixMillis,
};
use neuro_protocol::{
    ActivationFormat, Answer, AssetEntry, Evidence, Failure, FailureCode, Frame, Hello, Manifest, MicroTask,
    SignedManifest, SignedTicket, TensorEntry, TensorPlace, TensorType, Ticket, Welcome,
};

/// Name, explanation and frame of each frame's vector.
pub fn frames() -> Vec<(&'static str, &'static str, Frame)> {
    let of_task = Failure::new(Some(TaskId(2)), FailureCode::NotHeld, "L3/E17 is not held");
    let of_stream =
        Failure::new(None, FailureCode::WrongVersion, "expected a wire version between 3 and 3, got 4 to 5");
    vec![
        ("hello", "versions 3 to 3, model of manifest.hex, engine 2, width 8", Frame::Hello(hello())),
        ("welcome", "version 3", Frame::Welcome(Welcome { version: 3 })),
        ("task", "task 1, layer 3, 3 rows of width 8 with 2, 1 and 3 routes", Frame::Task(task())),
        (
            "task-blocks",
            "task 3, model of manifest-blocks.hex, layer 1, 2 rows of width 64 in blocks with 1 and 2 routes",
            Frame::Task(task_in_blocks()),
        ),
        (
            "answer",
            "the sums of task.hex, rows of kind many, one, many, and 6 digests; the third is that of the lone contribution",
            Frame::Answer(answer()),
        ),
        ("cancel", "task 1", Frame::Cancel(TaskId(1))),
        ("failure-task", "task 2 is not answered: an expert is not held", Frame::Failure(of_task)),
        ("failure-stream", "the stream ends: no version in common", Frame::Failure(of_stream)),
    ]
}

fn hello() -> Hello {
    Hello { versions: 3..=3, model: manifest().model_id(), engine_spec: 2, d_model: 8 }
}

fn task() -> MicroTask {
    let mut routes = Routes::new();
    for row in [&[(0, 0.75), (17, 0.25)][..], &[(17, -1.0)], &[(3, 0.5), (9, f32::MIN_POSITIVE), (65_535, 0.125)]] {
        routes.push_row(row.iter().map(|&(expert, gate)| Route { expert, gate }));
    }
    let mut hidden: Vec<f32> = (0..24_u8).map(|i| f32::from(i) / 16.0 - 0.75).collect();
    hidden[1] = -0.0;
    hidden[2] = f32::MAX;
    MicroTask {
        task: TaskId(1),
        model: manifest().model_id(),
        engine_spec: 2,
        layer: 3,
        deadline_left_ms: 1_500,
        routes,
        hidden: Rows::new(8, hidden).into(),
    }
}

/// The extremes of a block: both ends of the values, no scale, the least and the largest one.
fn task_in_blocks() -> MicroTask {
    let mut routes = Routes::new();
    routes.push_row([Route { expert: 1, gate: 1.0 }]);
    routes.push_row([Route { expert: 0, gate: 0.625 }, Route { expert: 1, gate: 0.375 }]);
    let mut values: Vec<i8> = (0..128_i16).map(|place| (place * 2 - 127) as i8).collect();
    values[64..96].fill(0);
    let scales = vec![1.0 / 127.0, f32::MAX, 0.0, f32::from_bits(1)];
    MicroTask {
        task: TaskId(3),
        model: manifest_in_blocks().model_id(),
        engine_spec: 2,
        layer: 1,
        deadline_left_ms: 250,
        routes,
        hidden: Activations::Q8(QuantisedRows::new(64, values, scales)),
    }
}

fn answer() -> Answer {
    let one: Vec<f32> = (0..8_u8).map(|i| f32::from(i) * -0.375).collect();
    let many = |sign: i64| (0..8).map(|i| sign * (i << 38)).collect();
    let mut digests: Vec<Hash> = (0..6_u8).map(|place| Hash([place; 32])).collect();
    digests[2] = digest(&one);
    let sums = vec![RowSum::Many(many(1)), RowSum::One(one), RowSum::Many(many(-1))];
    Answer { task: TaskId(1), compute_us: 420, sums, digests }
}

/// Row 1, expert 1 of the task in blocks, in a voucher over three answers.
pub fn evidence() -> Evidence {
    let task = task_in_blocks();
    let digests: Vec<Hash> = (0..3_u8).map(|place| Hash([place; 32])).collect();
    let sums = vec![RowSum::One(vec![0.5; 64]), RowSum::Many(vec![1; 64])];
    let asked = (&task.hidden, &task.routes);
    let tree = AnswerTree::new(task.model, task.layer, task.task, asked, (&digests, &sums));
    let leaves = [Hash([1; 32]), tree.leaf().hash(), Hash([2; 32])];
    let orchestrator = NodeKey::from_secret(&[0x43; 32]);
    let voucher = Voucher {
        orchestrator: orchestrator.node_id(),
        worker: key().node_id(),
        sequence: 7,
        totals: Totals { covered: 90, accepted: 60, denied: 3 },
        answers: 3,
        root: root(&leaves),
        previous: Hash([9; 32]),
        expires: EXPIRES,
    };
    let expert = ExpertId { layer: task.layer, expert: 1 };
    Evidence {
        voucher: voucher.offer(&orchestrator).countersign(&key()),
        task: task.task,
        sums: tree.leaf().sums,
        answer: Proof::of(&leaves, 1).unwrap_or_else(no_way),
        entry: tree.proof(2).unwrap_or_else(no_way),
        model: task.model,
        expert,
        gate: 0.375,
        row: task.hidden.gather(&[1]),
        digest: digests[2],
        weights: manifest_in_blocks().expert_tensors(expert).map(|tensor| tensor.hash).collect(),
    }
}

/// In place of a way that is not there, which the tests then find wrong.
const fn no_way() -> Proof {
    Proof { index: 0, count: 0, beside: Vec::new() }
}

/// The key that signs the vectors.
pub fn key() -> NodeKey {
    NodeKey::from_secret(&[0x42; 32])
}

/// A model of two layers with two experts each.
pub fn manifest() -> Manifest {
    let config = b"{\"model_type\":\"mixtral\",\"num_hidden_layers\":2}".to_vec();
    let tokenizer = b"{}";
    let asset = |name: &str, bytes: &[u8]| AssetEntry {
        name: name.to_owned(),
        length: bytes.len() as u64,
        hash: Hash::of(bytes),
    };
    let assets = vec![asset("config.json", &config), asset("tokenizer.json", tokenizer)];
    let mut tensors = vec![
        tensor("model.embed_tokens.weight".to_owned(), TensorPlace::Trunk, TensorType::F16, &[32, 8]),
        tensor("model.norm.weight".to_owned(), TensorPlace::Trunk, TensorType::F32, &[8]),
    ];
    for (layer, expert) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        tensors.extend(expert_tensors(ExpertId { layer, expert }));
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Manifest {
        name: "sample-moe".to_owned(),
        architecture: "mixtral".to_owned(),
        engine_spec: 2,
        config,
        assets,
        activation_formats: vec![ActivationFormat::F32; 2],
        tensors,
    }
}

/// A model of two layers: a dense one, and one with two experts of block types, of which one has a float down
/// projection. Every type occurs.
pub fn manifest_in_blocks() -> Manifest {
    use TensorType::{BF16, F16, F32, Iq4Nl, Mxfp4, Q4_0, Q4K, Q5K, Q6K, Q8_0};
    let trunk = [
        ("lm_head.weight", Q6K, [3, 256]),
        ("model.embed_tokens.weight", Q8_0, [3, 64]),
        ("model.layers.0.mlp.down_proj.weight", Q5K, [64, 512]),
        ("model.layers.0.mlp.gate_proj.weight", Q4_0, [512, 64]),
        ("model.layers.0.mlp.up_proj.weight", BF16, [512, 64]),
        ("model.layers.1.mlp.gate.weight", F32, [2, 64]),
    ]
    .map(|(name, tensor_type, shape)| (name, TensorPlace::Trunk, tensor_type, shape));
    let place = |expert| TensorPlace::Expert(ExpertId { layer: 1, expert });
    let experts = [
        ("model.layers.1.mlp.experts.0.down_proj.weight", place(0), Q4K, [64, 256]),
        ("model.layers.1.mlp.experts.0.gate_proj.weight", place(0), Mxfp4, [256, 64]),
        ("model.layers.1.mlp.experts.0.up_proj.weight", place(0), Iq4Nl, [256, 64]),
        ("model.layers.1.mlp.experts.1.down_proj.weight", place(1), F16, [64, 256]),
        ("model.layers.1.mlp.experts.1.gate_proj.weight", place(1), Q8_0, [256, 64]),
        ("model.layers.1.mlp.experts.1.up_proj.weight", place(1), Q8_0, [256, 64]),
    ];
    let entry =
        |(name, place, tensor_type, shape): (&str, _, _, [u64; 2])| tensor(name.to_owned(), place, tensor_type, &shape);
    let mut tensors: Vec<TensorEntry> = trunk.into_iter().chain(experts).map(entry).collect();
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Manifest {
        name: "sample-moe-blocks".to_owned(),
        architecture: "qwen3_moe".to_owned(),
        engine_spec: 2,
        config: b"{\"model_type\":\"qwen3_moe\",\"num_hidden_layers\":2}".to_vec(),
        assets: vec![],
        activation_formats: vec![ActivationFormat::F32, ActivationFormat::Q8],
        tensors,
    }
}

fn expert_tensors(expert: ExpertId) -> impl Iterator<Item = TensorEntry> {
    [("w1", [16, 8]), ("w2", [8, 16]), ("w3", [16, 8])].into_iter().map(move |(part, shape)| {
        let ExpertId { layer, expert: index } = expert;
        let name = format!("model.layers.{layer}.block_sparse_moe.experts.{index}.{part}.weight");
        tensor(name, TensorPlace::Expert(expert), TensorType::BF16, &shape)
    })
}

fn tensor(name: String, place: TensorPlace, tensor_type: TensorType, shape: &[u64]) -> TensorEntry {
    let hash = Hash::of(name.as_bytes());
    let mut tensor = TensorEntry { name, place, tensor_type, shape: shape.to_vec(), length: 0, hash };
    tensor.length = tensor.shape_bytes().unwrap_or(0);
    tensor
}

/// The manifest, signed.
pub fn signed_manifest() -> SignedManifest {
    SignedManifest::sign(&manifest(), &key())
}

/// The moment up to which the ticket's vector is good.
pub const EXPIRES: UnixMillis = UnixMillis(1_800_000_000_000);

/// A ticket with a name, an IPv6 address and two multiaddresses.
pub fn ticket() -> SignedTicket {
    Ticket {
        orchestrator: key().node_id(),
        control: vec!["moe.example.org:7401".to_owned(), "[2001:db8::7]:7401".to_owned()],
        p2p: vec!["/dns4/moe.example.org/udp/7402/quic-v1".to_owned(), "/ip6/2001:db8::7/tcp/7402".to_owned()],
        expires: EXPIRES,
        nonce: *b"sample ticket 01",
    }
    .sign(&key())
}

/// The bytes that the ticket's text stands for.
pub fn ticket_bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("neuro-ticket-")?.to_ascii_uppercase();
    data_encoding::BASE32_NOPAD.decode(digits.as_bytes()).ok()
}
