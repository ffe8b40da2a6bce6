//! Tensors that arrive in pieces, and a cache folder that somebody meddles with.

use std::fs;
use std::sync::Mutex;

use neuro_network::control::{ControlErrorKind, chunks};
use neuro_primitives::{Route, Routes, Rows, TensorType};
use neuro_protocol::frame::ActivationFormat;
use neuro_protocol::manifest::TensorPlace;

use super::*;

const CONFIG: &str = r#"{
    "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "vocab_size": 16, "hidden_size": 128,
    "intermediate_size": 512, "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1,
    "max_position_embeddings": 32, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "num_local_experts": 4,
    "num_experts_per_tok": 1, "hidden_act": "silu", "tie_word_embeddings": false
}"#;

/// One tensor: 128 × 512 values of f32.
const TENSOR_BYTES: usize = 128 * 512 * 4;

fn id(expert: u16) -> ExpertId {
    ExpertId { layer: 0, expert }
}

/// The weights of tensor `part` of `expert`.
fn content(expert: u16, part: u16) -> Vec<u8> {
    let value = |index: usize| ((index * 7 + usize::from(expert * 3 + part)) % 23) as f32 / 100.0 - 0.1;
    (0..TENSOR_BYTES / 4).flat_map(|index| value(index).to_le_bytes()).collect()
}

fn entries(config: &ModelConfig, expert: u16) -> [TensorEntry; 3] {
    let names = names::expert(config, id(expert));
    let entry = |name, part, shape: [u64; 2]| TensorEntry {
        name,
        place: TensorPlace::Expert(id(expert)),
        tensor_type: TensorType::F32,
        shape: shape.to_vec(),
        length: TENSOR_BYTES as u64,
        hash: Hash::of(&content(expert, part)),
    };
    [entry(names.gate, 0, [512, 128]), entry(names.up, 1, [512, 128]), entry(names.down, 2, [128, 512])]
}

/// Serves the tensors, breaks off as told, and remembers what it was asked for.
#[derive(Default)]
struct Server {
    /// After how many chunks the next streams break.
    breaks: Mutex<Vec<usize>>,
    asked: Mutex<Vec<(Hash, u64)>>,
}

impl TensorServer for Server {
    async fn fetch(&self, request: FetchRequest) -> Result<ChunkStream, ControlError> {
        let hash = Hash(request.hash.try_into().unwrap());
        self.asked.lock().unwrap().push((hash, request.offset));
        let all = (0..4).flat_map(|expert| (0..3).map(move |part| content(expert, part)));
        let stream = chunks(all.into_iter().find(|bytes| Hash::of(bytes) == hash).unwrap(), request.offset)?;
        let broken = futures::stream::iter([Err(ControlError::new(ControlErrorKind::Unavailable, "the link is gone"))]);
        Ok(match self.breaks.lock().unwrap().pop() {
            Some(chunks) => Box::pin(stream.take(chunks).chain(broken)),
            None => stream,
        })
    }
}

impl Server {
    fn breaking(after: &[usize]) -> Self {
        Self { breaks: Mutex::new(after.to_vec()), asked: Mutex::default() }
    }

    fn offsets(&self) -> Vec<u64> {
        self.asked.lock().unwrap().iter().map(|(_, offset)| *offset).collect()
    }
}

fn holdings(folder: &std::path::Path, limit_bytes: u64) -> Holdings {
    let config = ModelConfig::from_json(CONFIG.as_bytes()).unwrap();
    let manifest = Manifest {
        name: "tiny".to_owned(),
        architecture: "mixtral".to_owned(),
        engine_spec: 1,
        config: CONFIG.as_bytes().to_vec(),
        assets: Vec::new(),
        activation_formats: vec![ActivationFormat::F32],
        tensors: (0..4).flat_map(|expert| entries(&config, expert)).collect(),
    };
    let pool = ExpertPool::new(neuro_expert_runtime::default_engine(), config.d_model).with_limit(Some(limit_bytes));
    Holdings {
        manifest: Arc::new(manifest),
        config: Arc::new(config),
        pool: Arc::new(pool),
        cache: TensorCache::new(folder.to_owned()),
        parts: Parts::default(),
    }
}

/// The file of the gate projection of `expert`.
fn gate_file(folder: &std::path::Path, expert: u16) -> std::path::PathBuf {
    folder.join(Hash::of(&content(expert, 0)).to_string())
}

fn call(pool: &ExpertPool, expert: u16) -> Result<Vec<neuro_primitives::RowSum>, PoolError> {
    let mut routes = Routes::new();
    routes.push_row([Route { expert, gate: 1.0 }]);
    pool.run(0, &Rows::new(128, vec![0.25; 128]).into(), &routes)
}

#[tokio::test]
async fn a_broken_off_fetch_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (holdings, server) = (holdings(folder.path(), u64::MAX), Server::breaking(&[1]));
    let entry = entries(&holdings.config, 0)[0].clone();
    let broken = holdings.tensor(&server, &entry).await.unwrap_err();
    assert!(broken.is_retryable(), "{broken}");
    assert_eq!(holdings.tensor(&server, &entry).await.unwrap(), None, "it is in the cache");
    assert_eq!(server.offsets(), [0, 128 << 10]);
    assert_eq!(fs::read(gate_file(folder.path(), 0)).unwrap(), content(0, 0));
}

#[tokio::test]
async fn a_fetch_that_is_given_up_goes_on_too() {
    struct Stuck;
    impl TensorServer for Stuck {
        async fn fetch(&self, _: FetchRequest) -> Result<ChunkStream, ControlError> {
            Ok(Box::pin(chunks(content(0, 0), 0)?.take(1).chain(futures::stream::pending())))
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let (holdings, server) = (holdings(folder.path(), u64::MAX), Server::default());
    let entry = entries(&holdings.config, 0)[0].clone();
    {
        let mut fetch = Box::pin(holdings.tensor(&Stuck, &entry));
        assert!(futures::poll!(&mut fetch).is_pending());
    }
    holdings.tensor(&server, &entry).await.unwrap();
    assert_eq!(server.offsets(), [128 << 10]);
}

#[tokio::test]
async fn a_beginning_that_was_damaged_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (holdings, server) = (holdings(folder.path(), u64::MAX), Server::default());
    let entry = entries(&holdings.config, 0)[0].clone();
    holdings.parts.take(entry.hash).push(&[0xff; 1000]);
    holdings.tensor(&server, &entry).await.unwrap();
    assert_eq!(server.offsets(), [1000, 0], "the whole is fetched again");
}

#[tokio::test]
async fn experts_beyond_the_limit_stay_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let expert_bytes = 3 * TENSOR_BYTES as u64;
    let (limited, server) = (holdings(folder.path(), 2 * expert_bytes), Server::default());
    for expert in 0..4 {
        limited.load(&server, id(expert)).await.unwrap();
    }
    let fetched = server.offsets().len();
    assert_eq!((limited.pool.held().len(), fetched), (4, 12));
    let all = holdings(folder.path(), u64::MAX);
    for expert in 0..4 {
        all.load(&server, id(expert)).await.unwrap();
        assert_eq!(call(&limited.pool, expert), call(&all.pool, expert));
        assert!(limited.pool.resident_bytes() <= limited.pool.limit_bytes().unwrap());
    }
    assert_eq!(server.offsets().len(), fetched, "what is in the cache folder is not fetched");
}

#[tokio::test]
async fn a_cache_file_edited_or_deleted_under_the_worker_is_named_and_fetched_again() {
    type Meddle = fn(&std::path::Path);
    let meddles: [(&str, Meddle); 3] = [
        ("edited", |file| {
            let mut bytes = fs::read(file).unwrap();
            bytes[100] ^= 1;
            fs::write(file, bytes).unwrap();
        }),
        ("shortened", |file| fs::write(file, b"short").unwrap()),
        ("deleted", |file| fs::remove_file(file).unwrap()),
    ];
    for (what, meddle) in meddles {
        let folder = tempfile::tempdir().unwrap();
        // Room for one: the other is read when it is called.
        let (holdings, server) = (holdings(folder.path(), 3 * TENSOR_BYTES as u64), Server::default());
        holdings.load(&server, id(0)).await.unwrap();
        let expected = call(&holdings.pool, 0).unwrap();
        holdings.load(&server, id(1)).await.unwrap();
        meddle(&gate_file(folder.path(), 0));
        let error = call(&holdings.pool, 0).unwrap_err();
        assert!(matches!(error, PoolError::Load { expert, .. } if expert == id(0)) && error.is_retryable(), "{what}");
        assert!(error.to_string().contains("w1"), "{what}: {error}");
        holdings.pool.remove(id(0));
        let before = server.offsets().len();
        holdings.load(&server, id(0)).await.unwrap();
        assert_eq!(server.offsets().len(), before + 1, "{what}: one tensor is fetched");
        assert_eq!(call(&holdings.pool, 0).unwrap(), expected, "{what}");
    }
}

#[tokio::test]
async fn a_cache_file_changed_while_nobody_looked_is_fetched_again() {
    let folder = tempfile::tempdir().unwrap();
    holdings(folder.path(), u64::MAX).load(&Server::default(), id(0)).await.unwrap();
    fs::write(gate_file(folder.path(), 0), vec![0; TENSOR_BYTES]).unwrap();
    let (holdings, server) = (holdings(folder.path(), u64::MAX), Server::default());
    holdings.load(&server, id(0)).await.unwrap();
    assert_eq!(server.asked.lock().unwrap().as_slice(), [(Hash::of(&content(0, 0)), 0)]);
    assert!(call(&holdings.pool, 0).is_ok());
}

#[tokio::test]
async fn without_a_cache_folder_experts_stay_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let (holdings, server) = (holdings(&folder.path().join("missing"), 0), Server::default());
    for expert in 0..2 {
        holdings.load(&server, id(expert)).await.unwrap();
    }
    assert_eq!(holdings.pool.resident(), [id(0), id(1)]);
    assert!(call(&holdings.pool, 0).is_ok());
}
