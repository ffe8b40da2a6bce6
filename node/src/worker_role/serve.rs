//! The worker's end of a stream of micro-tasks.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use neuro_network::frames::{FrameError, FrameReader, FrameWriter};
use neuro_network::peer_to_peer::PeerStream;
use neuro_primitives::{ActivationFormat, ModelId, NodeId};
use neuro_protocol::frame::{DecodeError, Failure, FailureCode, Frame, Hello, MicroTask, Welcome};
use neuro_protocol::limits;
use neuro_protocol::version::{ENGINE_SPEC, negotiate, supported};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::compute::Compute;

/// Answers that may wait for the socket. As many as tasks may wait for the compute thread, so that a slow link slows
/// the computing down instead of filling memory.
const OUTBOX_FRAMES: usize = 64;

/// How long the caller may take to greet.
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);

/// Whom the worker serves, with which model. Empty until it has joined.
#[derive(Clone, Default)]
pub struct Gate(Arc<RwLock<Option<Serving>>>);

/// One orchestrator and its model.
#[derive(Clone)]
pub struct Serving {
    /// Who may call.
    pub orchestrator: NodeId,
    /// The model.
    pub model: ModelId,
    /// Values in a row.
    pub d_model: usize,
    /// In what form each layer's experts take rows, as the manifest says. `[layers]`.
    pub formats: Arc<[ActivationFormat]>,
    /// Where tasks go.
    pub compute: Compute,
}

/// Why a stream of micro-tasks ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The stream broke, or a frame was too long or too slow.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame says nothing.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The caller did not greet.
    #[error("caller {} did not greet within {} s", .caller.short(), GREETING_TIMEOUT.as_secs())]
    Silent {
        /// The caller.
        caller: NodeId,
    },
    /// The caller was turned away.
    #[error("caller {} was turned away: {text}", .caller.short())]
    TurnedAway {
        /// The caller.
        caller: NodeId,
        /// What it was told.
        text: String,
    },
    /// A frame that has no place here.
    #[error("caller {} sent {got} where {expected} belongs", .caller.short())]
    OutOfPlace {
        /// The caller.
        caller: NodeId,
        /// What belongs there.
        expected: &'static str,
        /// What came.
        got: &'static str,
    },
}

impl ServeError {
    /// Whether the caller broke the protocol, so that it is to be told before the stream ends.
    #[must_use]
    pub fn is_violation(&self, caller: NodeId) -> bool {
        match self {
            Self::Decode(_) | Self::OutOfPlace { .. } => true,
            Self::Frame(error) => error.blames(caller).is_some(),
            Self::Silent { .. } | Self::TurnedAway { .. } => false,
        }
    }
}

impl Gate {
    /// Opens the gate to one orchestrator, and closes it to any other.
    pub fn open(&self, serving: Serving) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(serving);
    }

    fn serving(&self) -> Option<Serving> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Serves one stream until the caller ends it.
///
/// # Errors
/// Why it ended otherwise. The caller was told where that was possible.
pub async fn serve(gate: Gate, caller: NodeId, stream: PeerStream) -> Result<(), ServeError> {
    let (reading, writing) = tokio::io::split(stream);
    let mut writer = FrameWriter::new(writing, limits::MAX_WELCOME_BYTES);
    let Some(serving) = gate.serving().filter(|serving| serving.orchestrator == caller) else {
        let text = "this worker computes for its orchestrator alone".to_owned();
        refuse(&mut writer, FailureCode::NotAllowed, &text).await;
        return Err(ServeError::TurnedAway { caller, text });
    };
    let mut reader = FrameReader::new(reading, limits::MAX_HELLO_BYTES);
    let ended = converse(&serving, &mut reader, &mut writer).await;
    if let Err(error) = &ended
        && error.is_violation(caller)
    {
        refuse(&mut writer, FailureCode::BadTask, &error.to_string()).await;
    }
    ended
}

/// Greets, then takes tasks and sends answers until one side ends.
async fn converse<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    serving: &Serving,
    reader: &mut FrameReader<R>,
    writer: &mut FrameWriter<W>,
) -> Result<(), ServeError> {
    let caller = serving.orchestrator;
    let greeting = tokio::time::timeout(GREETING_TIMEOUT, reader.read()).await;
    let Some(payload) = greeting.map_err(|_| ServeError::Silent { caller })?? else { return Ok(()) };
    let hello = match Frame::decode(&payload)? {
        Frame::Hello(hello) => hello,
        other => return Err(ServeError::OutOfPlace { caller, expected: "a greeting", got: other.kind() }),
    };
    match agree(&hello, serving) {
        Ok(version) => writer.write(&Frame::Welcome(Welcome { version }).encode()).await?,
        Err((code, text)) => {
            refuse(writer, code, &text).await;
            return Err(ServeError::TurnedAway { caller, text });
        }
    }
    reader.set_limit(limits::task_frame_limit(serving.d_model));
    writer.set_limit(limits::answer_frame_limit(serving.d_model));
    let (outbox, answers) = mpsc::channel(OUTBOX_FRAMES);
    tokio::select! {
        taken = take_tasks(serving, reader, outbox) => taken,
        sent = send_answers(writer, answers) => sent,
    }
}

/// The version to speak, or why not.
fn agree(hello: &Hello, serving: &Serving) -> Result<u16, (FailureCode, String)> {
    let version = negotiate(supported(), hello.versions.clone());
    let version = version.map_err(|error| (FailureCode::WrongVersion, error.to_string()))?;
    if hello.model != serving.model {
        let text = format!("expected model {}, got {}", serving.model, hello.model);
        return Err((FailureCode::WrongModel, text));
    }
    if hello.engine_spec != ENGINE_SPEC {
        let text = format!("expected engine rules {ENGINE_SPEC}, got {}", hello.engine_spec);
        return Err((FailureCode::WrongEngine, text));
    }
    if hello.d_model as usize != serving.d_model {
        let text = format!("expected rows of {}, got {}", serving.d_model, hello.d_model);
        return Err((FailureCode::WrongModel, text));
    }
    Ok(version)
}

async fn take_tasks<R: AsyncRead + Unpin>(
    serving: &Serving,
    reader: &mut FrameReader<R>,
    outbox: mpsc::Sender<Vec<u8>>,
) -> Result<(), ServeError> {
    while let Some(payload) = reader.read().await? {
        match Frame::decode(&payload)? {
            Frame::Task(task) => {
                let taken = match unfit(&task, serving) {
                    None => serving.compute.submit(task, outbox.clone()),
                    Some((code, text)) => Err(Failure::new(Some(task.task), code, &text)),
                };
                if let Err(failure) = taken {
                    let _ = outbox.send(Frame::Failure(failure).encode()).await;
                }
            }
            Frame::Cancel(task) => serving.compute.cancel(task),
            other => {
                let (caller, got) = (serving.orchestrator, other.kind());
                return Err(ServeError::OutOfPlace { caller, expected: "a task", got });
            }
        }
    }
    Ok(())
}

/// Why this task is not for this worker, if so.
fn unfit(task: &MicroTask, serving: &Serving) -> Option<(FailureCode, String)> {
    if task.model != serving.model {
        return Some((FailureCode::WrongModel, format!("expected model {}, got {}", serving.model, task.model)));
    }
    if task.engine_spec != ENGINE_SPEC {
        let text = format!("expected engine rules {ENGINE_SPEC}, got {}", task.engine_spec);
        return Some((FailureCode::WrongEngine, text));
    }
    let (expected, got) = (serving.d_model, task.hidden.width());
    if got != expected {
        return Some((FailureCode::BadTask, format!("expected rows of {expected} values, got {got}")));
    }
    unfit_format(task, &serving.formats).map(|text| (FailureCode::BadTask, text))
}

/// A layer's rows travel in one form: in another one its experts would compute other sums than everyone else's.
fn unfit_format(task: &MicroTask, formats: &[ActivationFormat]) -> Option<String> {
    let (layer, got) = (task.layer, task.hidden.format());
    match formats.get(usize::from(layer)) {
        None => Some(format!("expected a layer below {}, got {layer}", formats.len())),
        Some(expected) if *expected != got => Some(format!("layer {layer} takes rows as {expected:?}, got {got:?}")),
        Some(_) => None,
    }
}

async fn send_answers<W: AsyncWrite + Unpin>(
    writer: &mut FrameWriter<W>,
    mut answers: mpsc::Receiver<Vec<u8>>,
) -> Result<(), ServeError> {
    while let Some(frame) = answers.recv().await {
        writer.write(&frame).await?;
    }
    Ok(())
}

/// Tells the caller why the stream ends. Best effort: one that is gone or does not read sees the end alone.
async fn refuse<W: AsyncWrite + Unpin>(writer: &mut FrameWriter<W>, code: FailureCode, text: &str) {
    let failure = Frame::Failure(Failure::new(None, code, text));
    if writer.write(&failure.encode()).await.is_ok() {
        let _ = writer.finish().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker_role::meter::Meter;
    use neuro_expert_runtime::{ExpertPool, activations, default_engine};
    use neuro_primitives::{Activations, Hash, Route, Routes, Rows, TaskId};

    const D_MODEL: usize = 32;

    /// A model of two layers: floats, then blocks.
    fn serving() -> Serving {
        let pool = Arc::new(ExpertPool::new(default_engine(), D_MODEL));
        Serving {
            orchestrator: NodeId([1; 32]),
            model: ModelId(Hash([2; 32])),
            d_model: D_MODEL,
            formats: Arc::new([ActivationFormat::F32, ActivationFormat::Q8]),
            compute: Compute::start(pool, Arc::<Meter>::default(), Box::new(|_, _| ())).unwrap(),
        }
    }

    fn task(layer: u16, hidden: Activations) -> MicroTask {
        let mut routes = Routes::new();
        routes.push_row([Route { expert: 0, gate: 1.0 }]);
        let (task, model) = (TaskId(1), ModelId(Hash([2; 32])));
        MicroTask { task, model, engine_spec: ENGINE_SPEC, layer, deadline_left_ms: 60_000, routes, hidden }
    }

    fn floats() -> Activations {
        Rows::zeros(1, D_MODEL).into()
    }

    fn blocks() -> Activations {
        activations::encode(&Rows::zeros(1, D_MODEL), ActivationFormat::Q8).unwrap()
    }

    #[test]
    fn a_layer_takes_rows_in_its_own_form_alone() {
        let serving = serving();
        assert_eq!(unfit(&task(0, floats()), &serving), None);
        assert_eq!(unfit(&task(1, blocks()), &serving), None);
        for (layer, hidden, text) in [
            (0, blocks(), "layer 0 takes rows as F32, got Q8"),
            (1, floats(), "layer 1 takes rows as Q8, got F32"),
            (2, floats(), "expected a layer below 2, got 2"),
            (u16::MAX, blocks(), "expected a layer below 2, got 65535"),
        ] {
            assert_eq!(unfit(&task(layer, hidden), &serving), Some((FailureCode::BadTask, text.to_owned())));
        }
    }

    /// The reply to `frame` on a stream of its own.
    async fn reply_to(frame: Frame) -> Option<Frame> {
        let (caller, worker) = tokio::io::duplex(1 << 16);
        let (reading, writing) = tokio::io::split(worker);
        let serving = serving();
        let serve = tokio::spawn(async move {
            let mut reader = FrameReader::new(reading, limits::MAX_HELLO_BYTES);
            let mut writer = FrameWriter::new(writing, limits::MAX_WELCOME_BYTES);
            converse(&serving, &mut reader, &mut writer).await
        });
        let (reading, writing) = tokio::io::split(caller);
        let mut reader = FrameReader::new(reading, limits::answer_frame_limit(D_MODEL));
        let mut writer = FrameWriter::new(writing, limits::task_frame_limit(D_MODEL));
        let d_model = u32::try_from(D_MODEL).unwrap();
        let (versions, model) = (supported(), ModelId(Hash([2; 32])));
        let hello = Hello { versions, model, engine_spec: ENGINE_SPEC, d_model };
        writer.write(&Frame::Hello(hello).encode()).await.unwrap();
        let welcome = reader.read().await.unwrap().unwrap();
        assert!(matches!(Frame::decode(&welcome), Ok(Frame::Welcome(_))));
        writer.write(&frame.encode()).await.unwrap();
        let reply = reader.read().await.unwrap().map(|payload| Frame::decode(&payload).unwrap());
        serve.abort();
        reply
    }

    #[tokio::test]
    async fn a_caller_that_sends_the_wrong_form_is_told_and_the_right_form_reaches_the_experts() {
        for (layer, hidden, code) in [
            (1, floats(), FailureCode::BadTask),
            (0, blocks(), FailureCode::BadTask),
            // Nobody is held here: the task went through to the pool.
            (1, blocks(), FailureCode::NotHeld),
        ] {
            let Some(Frame::Failure(failure)) = reply_to(Frame::Task(task(layer, hidden))).await else {
                panic!("no failure")
            };
            assert_eq!((failure.task, failure.code), (Some(TaskId(1)), code), "{}", failure.text);
        }
    }
}
