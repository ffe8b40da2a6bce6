//! What a micro-task costs outside the core: hashes of an answer, its share of a voucher, two messages over a socket.

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use neuro_orchestrator::receipts::{Answered, Pair, Payee, Payer, ReceiptSettings};
use neuro_primitives::receipt::AnswerTree;
use neuro_primitives::{Activations, Hash, ModelId, Moment, NodeKey, Route, Routes, RowSum, Rows, TaskId, UnixMillis};

use super::super::Measurement;
use crate::exit_code::Outcome;
use crate::failure::Failure;

/// Values of a row.
const WIDTH: usize = 2_048;
/// Experts of a task of decoding: eight chosen ones on two workers.
const EXPERTS: u16 = 4;
/// Bytes of a task and of an answer of this size, about.
const FRAME_BYTES: usize = 4_096;
/// Answers of one voucher: a worker with a thousand tasks a second has so many in an interval.
const ANSWERS: u64 = 250;
/// Calls of what is timed alone.
const CALLS: u32 = 2_000;
/// The same where a call takes long.
const FEW_CALLS: u32 = 50;

/// All of them.
///
/// # Errors
/// When there is no loopback.
pub fn beside_the_core() -> Result<Vec<Measurement>, Failure> {
    let values = vec![0_u8; 4 * WIDTH];
    let digest = each(CALLS, || {
        black_box(Hash::of(black_box(&values)));
    });
    let failed = |error: std::io::Error| Failure::message(Outcome::Failed, format!("no loopback: {error}"));
    let micro = |case: &str, time: Duration| Measurement::new(case, time.as_secs_f64() * 1e6, "us");
    Ok(vec![
        micro("digest_row_expert_2048", digest),
        micro("leaf_of_an_answer", leaf()),
        micro("voucher_of_250_answers", voucher()),
        micro("voucher_share", voucher() / ANSWERS as u32),
        micro("socket_there_and_back", socket().map_err(failed)?),
    ])
}

/// What both sides hash of an answer to one row at [`EXPERTS`] experts, digests aside.
fn leaf() -> Duration {
    let mut routes = Routes::new();
    routes.push_row((0..EXPERTS).map(|expert| Route { expert, gate: 0.25 }));
    let hidden: Activations = Rows::new(WIDTH, vec![0.5; WIDTH]).into();
    let sums: Vec<RowSum> = vec![RowSum::Many(vec![1 << 40; WIDTH])];
    let digests = vec![Hash::of(b"a digest"); usize::from(EXPERTS)];
    let model = ModelId(Hash::of(b"a model"));
    each(CALLS, || {
        black_box(AnswerTree::new(model, 0, TaskId(1), (&hidden, &routes), (&digests, &sums)));
    })
}

/// One voucher from the first answer to both signatures: what the two sides compute together.
fn voucher() -> Duration {
    let (payer_key, payee_key) = (NodeKey::from_secret(&[7; 32]), NodeKey::from_secret(&[8; 32]));
    let pair = Pair { orchestrator: payer_key.node_id(), worker: payee_key.node_id() };
    let settings = ReceiptSettings { interval: Duration::ZERO, ..ReceiptSettings::default() };
    let (mut payer, mut payee) = (Payer::new(pair, settings, None, Moment(0)), Payee::new(pair, None));
    let mut task = 0;
    each(FEW_CALLS, || {
        for _ in 0..ANSWERS {
            task += 1;
            let answered = Answered { task: TaskId(task), leaf: Hash::of(&task.to_le_bytes()), units: 4 };
            payer.answered(answered, Moment(task));
            payee.answered(answered);
        }
        let (now, wall) = (Moment(task), UnixMillis(1));
        let Some((offer, tasks)) = payer.offer(&payer_key, now, wall) else { return };
        let Ok(signed) = payee.check(offer, &tasks, &payee_key, wall) else { return };
        payee.keep(signed, &tasks);
        let _ = black_box(payer.countersigned(signed, now));
    })
}

/// A frame there and one back over TCP on this machine, without encryption.
fn socket() -> std::io::Result<Duration> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut near = TcpStream::connect(listener.local_addr()?)?;
    let (mut far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let echo = std::thread::spawn(move || {
        let mut frame = vec![0; FRAME_BYTES];
        while far.read_exact(&mut frame).is_ok() && far.write_all(&frame).is_ok() {}
    });
    let mut frame = vec![0; FRAME_BYTES];
    let mut outcome = Ok(());
    let time = each(CALLS, || {
        if outcome.is_ok() {
            outcome = near.write_all(&frame).and_then(|()| near.read_exact(&mut frame));
        }
    });
    drop(near);
    // It ends with the connection.
    let _ = echo.join();
    outcome.map(|()| time)
}

fn each(calls: u32, mut what: impl FnMut()) -> Duration {
    let began = Instant::now();
    (0..calls).for_each(|_| what());
    began.elapsed() / calls
}
