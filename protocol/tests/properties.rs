//! Whatever can be said comes back as it was said, and an encoder's output is always accepted.

use neuro_primitives::{
    ACTIVATION_BLOCK, Activations, ExpertId, Hash, ModelId, NodeKey, QuantisedRows, Route, Routes, RowSum, Rows,
    TaskId, UnixMillis,
};
use neuro_protocol::limits::{answer_frame_limit, task_frame_limit};
use neuro_protocol::{
    ActivationFormat, Answer, AssetEntry, Failure, FailureCode, Frame, Hello, Manifest, MicroTask, SignedTicket,
    TensorEntry, TensorPlace, TensorType, Ticket, Welcome,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::num::f32::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
use proptest::prelude::*;
use proptest::sample::select;

fn finite() -> impl Strategy<Value = f32> {
    POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO
}

fn model() -> impl Strategy<Value = ModelId> {
    any::<[u8; 32]>().prop_map(|bytes| ModelId(Hash(bytes)))
}

fn hello() -> impl Strategy<Value = Frame> {
    (any::<[u16; 2]>(), model(), any::<u32>(), 1..=32_768_u32).prop_map(|([a, b], model, engine_spec, d_model)| {
        Frame::Hello(Hello { versions: a.min(b)..=a.max(b), model, engine_spec, d_model })
    })
}

fn routes(rows: usize) -> impl Strategy<Value = Routes> {
    vec(btree_map(any::<u16>(), finite(), 1..=64), rows).prop_map(|rows| {
        let mut routes = Routes::new();
        for row in rows {
            routes.push_row(row.into_iter().map(|(expert, gate)| Route { expert, gate }));
        }
        routes
    })
}

fn floats(rows: usize, width: usize) -> impl Strategy<Value = Activations> {
    vec(finite(), rows * width).prop_map(move |values| Rows::new(width, values).into())
}

fn blocks(rows: usize, blocks: usize) -> impl Strategy<Value = Activations> {
    let (width, scales) = (blocks * ACTIVATION_BLOCK, POSITIVE | NORMAL | SUBNORMAL | ZERO);
    let scales = vec(scales.prop_map(f32::abs), rows * blocks);
    (vec(-127..=127_i8, rows * width), scales)
        .prop_map(move |(values, scales)| Activations::Q8(QuantisedRows::new(width, values, scales)))
}

fn task() -> impl Strategy<Value = Frame> {
    let rows = (1..=9_usize, 1..=33_usize).prop_flat_map(|(rows, width)| {
        (routes(rows), prop_oneof![floats(rows, width), blocks(rows, width.div_ceil(ACTIVATION_BLOCK) + rows % 2)])
    });
    (any::<u64>(), model(), any::<u32>(), any::<u16>(), any::<u32>(), rows).prop_map(
        |(task, model, engine_spec, layer, deadline_left_ms, (routes, hidden))| {
            let task = TaskId(task);
            Frame::Task(MicroTask { task, model, engine_spec, layer, deadline_left_ms, routes, hidden })
        },
    )
}

fn answer() -> impl Strategy<Value = Frame> {
    let sum = |width| {
        prop_oneof![vec(finite(), width).prop_map(RowSum::One), vec(any::<i64>(), width).prop_map(RowSum::Many)]
    };
    let sums = (1..=33_usize).prop_flat_map(move |width| vec(sum(width), 1..=9));
    let digests = vec(any::<[u8; 32]>().prop_map(Hash), 1..=9);
    (any::<u64>(), any::<u32>(), sums, digests).prop_map(|(task, compute_us, sums, digests)| {
        Frame::Answer(Answer { task: TaskId(task), compute_us, sums, digests })
    })
}

fn failure() -> impl Strategy<Value = Frame> {
    (any::<Option<u64>>(), any::<u16>(), any::<String>()).prop_map(|(task, code, text)| {
        Frame::Failure(Failure::new(task.map(TaskId), FailureCode::from_code(code), &text))
    })
}

fn frame() -> impl Strategy<Value = Frame> {
    let welcome = any::<u16>().prop_map(|version| Frame::Welcome(Welcome { version }));
    let cancel = any::<u64>().prop_map(|task| Frame::Cancel(TaskId(task)));
    prop_oneof![hello(), welcome, task(), answer(), cancel, failure()]
}

/// 1 to 40 printable ASCII characters.
fn word() -> impl Strategy<Value = String> {
    vec(0x21..0x7f_u8, 1..40).prop_map(|bytes| bytes.into_iter().map(char::from).collect())
}

fn tensor(name: String) -> impl Strategy<Value = TensorEntry> {
    let place = prop_oneof![
        Just(TensorPlace::Trunk),
        (0..4_u16, any::<u16>()).prop_map(|(layer, expert)| TensorPlace::Expert(ExpertId { layer, expert }))
    ];
    (place, select(&TensorType::ALL), vec(1..5_000_u64, 1..=4), any::<[u8; 32]>()).prop_map(move |parts| {
        let (place, tensor_type, mut shape, hash) = parts;
        let (name, hash) = (name.clone(), Hash(hash));
        shape.iter_mut().next_back().into_iter().for_each(|row| *row *= tensor_type.block_elements() as u64);
        let mut tensor = TensorEntry { name, place, tensor_type, shape, length: 0, hash };
        tensor.length = tensor.shape_bytes().unwrap_or(0);
        tensor
    })
}

fn manifest() -> impl Strategy<Value = Manifest> {
    let tensors = btree_set(word(), 1..12).prop_flat_map(|names| names.into_iter().map(tensor).collect::<Vec<_>>());
    let assets = btree_map(
        select(vec!["chat_template.jinja", "extra.bin", "tokenizer.json", "v.2_b-c"]),
        any::<(u16, [u8; 32])>(),
        0..4,
    )
    .prop_map(|assets| {
        let entry = |(name, (length, hash)): (&str, (u16, _))| AssetEntry {
            name: name.to_owned(),
            length: length.into(),
            hash: Hash(hash),
        };
        assets.into_iter().map(entry).collect()
    });
    let formats = vec(select(vec![ActivationFormat::F32, ActivationFormat::Q8]), 4..9);
    (word(), word(), any::<u32>(), vec(any::<u8>(), 1..90), assets, formats, tensors).prop_map(
        |(name, architecture, engine_spec, config, assets, activation_formats, tensors)| Manifest {
            name,
            architecture,
            engine_spec,
            config,
            assets,
            activation_formats,
            tensors,
        },
    )
}

proptest! {
    #[test]
    fn every_frame_comes_back_as_it_was(frame in frame()) {
        let payload = frame.encode();
        prop_assert_eq!(Frame::decode(&payload), Ok(frame));
    }

    #[test]
    fn every_frame_stays_within_the_limit_of_its_model(frame in prop_oneof![task(), answer()]) {
        let limit = match &frame {
            Frame::Task(task) => task_frame_limit(task.hidden.width()),
            Frame::Answer(_) => answer_frame_limit(33),
            _ => 0,
        };
        prop_assert!(frame.encode().len() <= limit);
    }

    #[test]
    fn a_manifest_has_one_form(manifest in manifest()) {
        let bytes = manifest.to_canonical();
        prop_assert_eq!(manifest.check(), Ok(()));
        prop_assert_eq!(Manifest::from_canonical(&bytes), Ok(manifest));
    }

    #[test]
    fn a_ticket_comes_back_as_it_was(
        control in vec(word(), 0..8),
        p2p in vec(word(), 0..8),
        expires in 1_u64..,
        nonce in any::<[u8; 16]>(),
        secret in any::<[u8; 32]>(),
    ) {
        let key = NodeKey::from_secret(&secret);
        let ticket = Ticket { orchestrator: key.node_id(), control, p2p, expires: UnixMillis(expires), nonce };
        let read = SignedTicket::from_text(&ticket.clone().sign(&key).to_text());
        let now = UnixMillis(expires - 1);
        prop_assert_eq!(read.and_then(|signed| signed.verify(now).cloned()), Ok(ticket));
    }
}
