//! A node whose model follows a script, so that every token is known and every moment can be waited for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use neuro_inference::{
    BatchFigures, FinishReason, GenerateRequest, Generated, Shares, TokenEvent, TokenLogprob, Usage,
};
use neuro_model::{ChatTemplate, Tokenizer};
use neuro_node::completer::{
    Caller, Completer, Explanation, Job, JobEvent, Load, ModelSummary, SubmitError, WorkerShare,
};
use neuro_node::http::{self, HttpError, HttpOptions};
use neuro_node::jobs::{Decode, DecodeFailure, Decoding, JobContext, JobLimits, JobRunner, JobUpdate};
use neuro_primitives::JobId;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What stops a test that waits in vain. No test depends on how long anything takes.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub const CONTEXT: usize = 64;
pub const EOS: u32 = 1;

/// One thing the scripted model does.
#[derive(Debug, Clone)]
pub enum Step {
    /// A token with this text.
    Text(&'static str),
    /// The token that ends the answer.
    End,
    /// Waits until [`Node::open`] lets it through, or nobody listens.
    Wait,
    /// The same token until nobody listens.
    Forever(&'static str),
    Fail {
        retryable: bool,
    },
    Panic,
    /// As the first step: breaks down before the job is begun.
    PanicAtStart,
}

pub struct Node {
    pub address: SocketAddr,
    pub client: reqwest::Client,
    pub completer: Arc<Scripted>,
    pub stop: CancellationToken,
    pub serving: JoinHandle<Result<(), HttpError>>,
}

pub struct Scripted {
    tokenizer: Tokenizer,
    template: ChatTemplate,
    pub runner: JobRunner,
    pub ready: AtomicBool,
    script: Arc<Script>,
}

struct Script {
    steps: Vec<Step>,
    /// How many waits may still pass.
    passes: Mutex<usize>,
    opened: Condvar,
    asked: Mutex<Vec<GenerateRequest>>,
}

/// A node that follows `steps` for every job, with the usual bounds.
pub async fn start(steps: &[Step]) -> Node {
    start_with(steps, JobLimits { slots: 2, queue: 2 }, HttpOptions::default()).await
}

pub async fn start_with(steps: &[Step], limits: JobLimits, options: HttpOptions) -> Node {
    let listener = http::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let completer = Arc::new(Scripted::new(steps, limits));
    let stop = CancellationToken::new();
    let serving =
        tokio::spawn(http::serve(listener, Arc::clone(&completer) as _, options, stop.clone().cancelled_owned()));
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
    Node { address, client, completer, stop, serving }
}

pub fn checkpoint() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/models/skills/checkpoint")
}

pub fn chat_body() -> Value {
    json!({ "model": "scripted", "messages": [{ "role": "user", "content": "hi" }] })
}

pub fn text_body() -> Value {
    json!({ "model": "scripted", "prompt": "hi" })
}

/// `body` with `extra`'s fields over it.
pub fn with(mut body: Value, extra: Value) -> Value {
    for (name, value) in extra.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

impl Node {
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn get(&self, path: &str) -> reqwest::Response {
        self.client.get(self.url(path)).send().await.unwrap()
    }

    pub async fn post(&self, path: &str, body: &Value) -> reqwest::Response {
        self.client.post(self.url(path)).json(body).send().await.unwrap()
    }

    pub async fn chat(&self, body: Value) -> reqwest::Response {
        self.post("/v1/chat/completions", &body).await
    }

    pub async fn text(&self, body: Value) -> reqwest::Response {
        self.post("/v1/completions", &body).await
    }

    /// Lets `waits` waiting steps through, now or later.
    pub fn open(&self, waits: usize) {
        *self.completer.script.passes.lock().unwrap() += waits;
        self.completer.script.opened.notify_all();
    }

    /// The requests that reached the model, in the order in which they began.
    pub fn asked(&self) -> Vec<GenerateRequest> {
        self.completer.script.asked.lock().unwrap().clone()
    }

    /// Waits until the job runner looks as `as_wanted` says.
    pub async fn until(&self, as_wanted: impl Fn(&JobRunner) -> bool) {
        let mut changes = self.completer.runner.changes();
        let wait = async {
            while !as_wanted(&self.completer.runner) {
                changes.changed().await.unwrap();
            }
        };
        let runner = &self.completer.runner;
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        waited.unwrap_or_else(|_| panic!("still {:?}, {:?}", runner.load(), runner.totals()));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
        self.serving.abort();
        self.completer.runner.close();
    }
}

/// Status and error object of a refusal; checks the parts that every error object has.
pub async fn refusal(response: reqwest::Response) -> (u16, Value) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/json");
    let mut body: Value = response.json().await.unwrap();
    let error = body["error"].take();
    let fields: Vec<&String> = error.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["message", "type", "param", "code"]);
    assert!(!error["message"].as_str().unwrap().is_empty());
    (status, error)
}

impl Scripted {
    fn new(steps: &[Step], limits: JobLimits) -> Self {
        let script = Arc::new(Script {
            steps: steps.to_vec(),
            passes: Mutex::new(0),
            opened: Condvar::new(),
            asked: Mutex::default(),
        });
        let source = "{% for m in messages %}<s>{{ m['role'] }}: {{ m['content'] }}</s>{% endfor %}<s>assistant: ";
        Self {
            tokenizer: Tokenizer::from_bytes(&std::fs::read(checkpoint().join("tokenizer.json")).unwrap()).unwrap(),
            template: ChatTemplate::from_source(source, "<s>", "</s>").unwrap(),
            runner: JobRunner::start(limits, ScriptedDecoder(Arc::clone(&script))).unwrap(),
            ready: AtomicBool::new(true),
            script,
        }
    }
}

impl Completer for Scripted {
    fn model(&self) -> ModelSummary {
        ModelSummary {
            id: "0123456789abcdef0123456789abcdef".to_owned(),
            name: "scripted".to_owned(),
            created_unix_s: 1_700_000_000,
            context: CONTEXT,
            vocab_size: 512,
            eos: vec![EOS],
        }
    }

    fn ready(&self) -> Result<(), String> {
        if self.ready.load(Ordering::SeqCst) { Ok(()) } else { Err("expert L0/E1 has no holder".to_owned()) }
    }

    fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    fn chat_template(&self) -> Option<&ChatTemplate> {
        Some(&self.template)
    }

    fn load(&self) -> Load {
        self.runner.load()
    }

    fn submit(&self, request: GenerateRequest, caller: Caller) -> Result<Job, SubmitError> {
        self.ready().map_err(SubmitError::NotReady)?;
        self.runner.submit(request, caller)
    }

    fn explain(&self, job: JobId) -> Option<Explanation> {
        let share = WorkerShare {
            worker: "ab".repeat(32),
            name: format!("worker of job {}", job.0),
            experts_held: 4,
            tasks: 3,
            expert_rows: 2,
            compute_us: 1,
        };
        Some(Explanation { engine: "scripted".to_owned(), shares: vec![share] })
    }
}

struct ScriptedDecoder(Arc<Script>);

impl Decode for ScriptedDecoder {
    fn open(&self) -> Box<dyn Decoding + '_> {
        Box::new(ScriptedDecoding { script: &self.0, jobs: BTreeMap::new() })
    }
}

struct ScriptedDecoding<'a> {
    script: &'a Script,
    jobs: BTreeMap<JobId, Answer>,
}

impl Decoding for ScriptedDecoding<'_> {
    fn has_room(&self, _: &GenerateRequest) -> bool {
        true
    }

    fn start(&mut self, job: JobContext, request: GenerateRequest) -> Result<Option<JobUpdate>, DecodeFailure> {
        assert!(!matches!(self.script.steps[..], [Step::PanicAtStart]), "as the script says");
        self.script.asked.lock().unwrap().push(request.clone());
        let answer = Answer { request, text: String::new(), ids: Vec::new(), at: 0, paused: false };
        self.jobs.insert(job.id, answer);
        Ok(None)
    }

    fn end(&mut self, job: JobId) {
        self.jobs.remove(&job);
    }

    fn pause(&mut self, job: JobId, paused: bool) {
        if let Some(answer) = self.jobs.get_mut(&job) {
            answer.paused = paused;
        }
    }

    fn taint(&mut self, job: JobId) -> Vec<JobId> {
        self.end(job);
        Vec::new()
    }

    fn has_work(&self) -> bool {
        self.jobs.values().any(|answer| !answer.paused)
    }

    fn step(&mut self, _: &mut Shares) -> Vec<(JobId, JobUpdate)> {
        let jobs = self.jobs.iter_mut().filter(|(_, answer)| !answer.paused);
        let updates: Vec<_> =
            jobs.flat_map(|(job, answer)| answer.step(self.script).into_iter().map(|update| (*job, update))).collect();
        if updates.is_empty() {
            self.script.wait();
        }
        updates
    }

    fn figures(&self) -> BatchFigures {
        BatchFigures { sequences: self.jobs.len(), ..BatchFigures::default() }
    }
}

impl Script {
    /// Takes a pass, if there is one.
    fn pass(&self) -> bool {
        let mut passes = self.passes.lock().unwrap();
        let passed = *passes > 0;
        *passes -= usize::from(passed);
        passed
    }

    /// Until somebody may pass, or it is time to look who left.
    fn wait(&self) {
        let passes = self.passes.lock().unwrap();
        if *passes == 0 {
            drop(self.opened.wait_timeout(passes, Duration::from_millis(20)).unwrap());
        }
    }
}

struct Answer {
    request: GenerateRequest,
    text: String,
    ids: Vec<u32>,
    /// The next step of the script.
    at: usize,
    paused: bool,
}

impl Answer {
    /// Goes on by one step of the script.
    fn step(&mut self, script: &Script) -> Vec<JobUpdate> {
        let Some(step) = script.steps.get(self.at) else { return vec![self.finish(FinishReason::Length)] };
        self.at += usize::from(!matches!(step, Step::Forever(_)));
        match step {
            Step::Text(text) | Step::Forever(text) => self.token(script, 100, text),
            Step::End => self.token(script, EOS, ""),
            Step::Wait => {
                self.at -= usize::from(!script.pass());
                Vec::new()
            }
            Step::Fail { retryable } => {
                vec![Err(DecodeFailure { message: "a worker is gone".to_owned(), retryable: *retryable })]
            }
            Step::Panic | Step::PanicAtStart => panic!("as the script says"),
        }
    }

    fn token(&mut self, script: &Script, id: u32, text: &str) -> Vec<JobUpdate> {
        self.ids.push(id);
        self.text.push_str(text);
        let logprob = self.request.sampling.top_logprobs.map(|top| logprob(id, text, top));
        let token = Ok(JobEvent::Token(TokenEvent { id, text: text.to_owned(), logprob }));
        if id == EOS {
            return vec![token, self.finish(FinishReason::Stop)];
        }
        let endless = matches!(script.steps.get(self.at), Some(Step::Forever(_)));
        let full = !endless && self.ids.len() >= self.request.max_tokens;
        std::iter::once(token).chain(full.then(|| self.finish(FinishReason::Length))).collect()
    }

    fn finish(&self, finish: FinishReason) -> JobUpdate {
        let usage = Usage { prompt_tokens: self.request.prompt.len(), completion_tokens: self.ids.len() };
        Ok(JobEvent::Done(Generated { text: self.text.clone(), ids: self.ids.clone(), finish, usage }))
    }
}

/// The chosen token at -0.5; alternatives are the token itself and one of zero probability.
fn logprob(id: u32, text: &str, top: u8) -> TokenLogprob {
    let all = [
        (id, -0.5, text.to_owned(), text.as_bytes().to_vec()),
        (7, f32::NEG_INFINITY, "\u{fffd}".to_owned(), vec![0xe2]),
    ];
    let top = all.into_iter().take(usize::from(top)).collect();
    TokenLogprob { id, logprob: -0.5, text: text.to_owned(), bytes: text.as_bytes().to_vec(), top }
}
