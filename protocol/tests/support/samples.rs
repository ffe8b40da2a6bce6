//! The values behind the vectors. They are part of the specification: change none, add new ones.

use neuro_primitives::{ExpertId, Hash, NodeKey, Route, Routes, RowSum, Rows, TaskId, UnixMillis};
use neuro_protocol::{
    ActivationFormat, Answer, AssetEntry, Failure, FailureCode, Frame, Hello, Manifest, MicroTask, SignedManifest,
    SignedTicket, TensorEntry, TensorPlace, TensorType, Ticket, Welcome,
};

/// Name, explanation and frame of each frame's vector.
pub fn frames() -> Vec<(&'static str, &'static str, Frame)> {
    let of_task = Failure::new(Some(TaskId(2)), FailureCode::NotHeld, "L3/E17 is not held");
    let of_stream =
        Failure::new(None, FailureCode::WrongVersion, "expected a wire version between 1 and 1, got 2 to 3");
    vec![
        ("hello", "versions 1 to 1, model of manifest.hex, engine 1, width 8", Frame::Hello(hello())),
        ("welcome", "version 1", Frame::Welcome(Welcome { version: 1 })),
        ("task", "task 1, layer 3, 3 rows of width 8 with 2, 1 and 3 routes", Frame::Task(task())),
        ("answer", "the sums of task.hex: rows of kind many, one, many", Frame::Answer(answer())),
        ("cancel", "task 1", Frame::Cancel(TaskId(1))),
        ("failure-task", "task 2 is not answered: an expert is not held", Frame::Failure(of_task)),
        ("failure-stream", "the stream ends: no version in common", Frame::Failure(of_stream)),
    ]
}

fn hello() -> Hello {
    Hello { versions: 1..=1, model: manifest().model_id(), engine_spec: 1, d_model: 8 }
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
        engine_spec: 1,
        layer: 3,
        deadline_left_ms: 1_500,
        activation: ActivationFormat::F32,
        routes,
        hidden: Rows::new(8, hidden),
    }
}

fn answer() -> Answer {
    let one: Vec<f32> = (0..8_u8).map(|i| f32::from(i) * -0.375).collect();
    let many = |sign: i64| (0..8).map(|i| sign * (i << 38)).collect();
    let sums = vec![RowSum::Many(many(1)), RowSum::One(one), RowSum::Many(many(-1))];
    Answer { task: TaskId(1), compute_us: 420, sums }
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
        engine_spec: 1,
        config,
        assets,
        activation_formats: vec![ActivationFormat::F32; 2],
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
