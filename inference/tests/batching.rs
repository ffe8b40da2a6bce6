//! Answers decoded side by side are the answers that each request gets alone.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "model/loaded.rs"]
mod loaded;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use loaded::LoadedModel;
use neuro_expert_runtime::default_engine;
use neuro_inference::kv_cache::PAGE_POSITIONS;
use neuro_inference::{
    Account, Batch, ExpertLayers, ExpertsError, GenerateRequest, Generated, Generator, PagePool, Portion, Priority,
    RowOwner, SamplingParams, Shares, Start, TokenEvent, Update,
};
use neuro_model::Tokenizer;
use neuro_primitives::{JobId, Routes, Rows};
use proptest::prelude::*;

/// The skills model, loaded once.
static SKILLS: LazyLock<(LoadedModel, Tokenizer)> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/models/skills/checkpoint");
    let model = LoadedModel::open(&folder, default_engine());
    let tokenizer = model.checkpoint.tokenizer().expect("a tokenizer");
    (model, tokenizer)
});

/// Pages without a bound that matters.
const PLENTY: usize = 10_000;

/// Steps after which a batch is taken to be stuck.
const STUCK: usize = 5_000;

fn generator() -> Generator<'static> {
    let (model, tokenizer) = &*SKILLS;
    Generator { trunk: &model.trunk, tokenizer, experts: &model.experts }
}

fn batch(pages: usize) -> Batch<'static> {
    let (model, tokenizer) = &*SKILLS;
    Batch::new(&model.trunk, tokenizer, pages)
}

/// `length` tokens that look random, the same for the same `seed`.
fn prompt(seed: u32, length: usize) -> Vec<u32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(7);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        3 + (state >> 8) % 500
    };
    (0..length).map(|_| next()).collect()
}

fn request(prompt: Vec<u32>, max_tokens: usize, temperature: f32) -> GenerateRequest {
    let seed = prompt.len() as u64;
    GenerateRequest {
        prompt,
        max_tokens,
        sampling: SamplingParams { temperature, top_p: 0.9, seed, choice: 0, top_logprobs: Some(2) },
        stop: vec!["ee".to_owned()],
        stop_ids: vec![1],
        skip_special: true,
    }
}

/// A request whose answer has all of `max_tokens`.
fn endless(prompt: Vec<u32>, max_tokens: usize) -> GenerateRequest {
    GenerateRequest { stop: Vec::new(), stop_ids: Vec::new(), ..request(prompt, max_tokens, 0.0) }
}

fn start(job: u64, request: &GenerateRequest) -> Start {
    Start { job: JobId(job), account: Account::LOCAL, priority: Priority::Normal, request: request.clone() }
}

/// What became of a job.
#[derive(Debug, Clone, PartialEq, Default)]
struct Heard {
    events: Vec<TokenEvent>,
    generated: Option<Generated>,
    failure: Option<String>,
}

fn alone(request: &GenerateRequest) -> Heard {
    let mut events = Vec::new();
    let note = &mut |event| {
        events.push(event);
        ControlFlow::Continue(())
    };
    let generated = generator().run(request, note).expect("an answer");
    Heard { events, generated: Some(generated), failure: None }
}

/// A batch and what was heard of its jobs.
struct Run<'a> {
    batch: Batch<'static>,
    experts: &'a dyn ExpertLayers,
    shares: Shares,
    heard: BTreeMap<JobId, Heard>,
}

impl<'a> Run<'a> {
    fn with(pages: usize, experts: &'a dyn ExpertLayers) -> Self {
        Self { batch: batch(pages), experts, shares: Shares::default(), heard: BTreeMap::new() }
    }

    fn of(pages: usize) -> Self {
        Self::with(pages, &SKILLS.0.experts)
    }

    fn start(&mut self, start: Start) {
        let job = start.job;
        self.heard.insert(job, Heard::default());
        if let Some(update) = self.batch.start(start).expect("a request that can be served") {
            self.note(job, update);
        }
    }

    fn note(&mut self, job: JobId, update: Update) {
        let heard = self.heard.get_mut(&job).expect("a job that was started");
        match update {
            Update::Token(event) => heard.events.push(event),
            Update::Done(generated) => heard.generated = Some(generated),
            Update::Failed(error) => heard.failure = Some(error.to_string()),
        }
    }

    fn step(&mut self) {
        for (job, update) in self.batch.step(self.experts, &mut self.shares) {
            self.note(job, update);
        }
        let pages = self.batch.figures().pages;
        assert!(pages.used <= pages.capacity, "{pages:?}");
    }

    fn finish(&mut self) {
        for _ in 0..STUCK {
            if !self.batch.has_work() {
                return self.assert_nothing_leaks();
            }
            self.step();
        }
        panic!("stuck: {:?}", self.batch.figures());
    }

    /// Every page is free or kept for another of the same beginning.
    fn assert_nothing_leaks(&self) {
        let figures = self.batch.figures();
        assert_eq!((figures.sequences, figures.pages.used), (0, figures.pages.idle), "{figures:?}");
    }

    fn heard(&self, job: u64) -> &Heard {
        &self.heard[&JobId(job)]
    }
}

/// One request of a made-up crowd.
#[derive(Debug, Clone)]
struct Arrival {
    /// The step before which it comes.
    step: usize,
    request: GenerateRequest,
    account: u8,
    priority: Priority,
    /// The step at which its reader leaves.
    leaves: Option<usize>,
}

fn arrival() -> impl Strategy<Value = Arrival> {
    let length = prop_oneof![5 => 1..130_usize, 1 => 300..400_usize];
    let kind = (0..3_u32, length, 1..30_usize, prop_oneof![Just(0.0_f32), Just(1.5)]);
    let who = (0..3_u8, prop_oneof![Just(Priority::Low), Just(Priority::Normal), Just(Priority::High)]);
    (0..20_usize, kind, who, prop::option::weighted(0.1, 0..30_usize)).prop_map(
        |(step, (seed, length, max_tokens, temperature), (account, priority), leaves)| {
            // Few seeds: prompts share beginnings.
            Arrival { step, request: request(prompt(seed, length), max_tokens, temperature), account, priority, leaves }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn whoever_comes_when_and_however_few_pages_there_are(
        arrivals in prop::collection::vec(arrival(), 1..9),
        // 430 positions, the longest of these, take fourteen.
        pages in 14..30_usize,
    ) {
        let mut run = Run::of(pages);
        for step in 0..30 {
            for (job, arrival) in (0_u64..).zip(&arrivals) {
                if arrival.step == step {
                    let account = Account::named(&arrival.account.to_string());
                    run.start(Start { account, priority: arrival.priority, ..start(job, &arrival.request) });
                }
                if arrival.leaves == Some(step) {
                    run.batch.end(JobId(job));
                }
            }
            run.step();
        }
        run.finish();
        for (job, arrival) in (0_u64..).zip(&arrivals) {
            let (heard, expected) = (run.heard(job), alone(&arrival.request));
            if arrival.leaves.is_none() {
                prop_assert_eq!(heard, &expected);
            } else {
                prop_assert!(expected.events.starts_with(&heard.events));
            }
        }
    }
}

#[test]
fn mixed_requests_that_join_in_mid_flight_get_what_each_gets_alone() {
    let lengths = [3, 200, 40, 511, 1, 90, 64, 33];
    let requests: Vec<GenerateRequest> = (0_u32..)
        .zip(lengths)
        .map(|(seed, length)| request(prompt(seed, length), 40, if seed % 2 == 0 { 0.0 } else { 1.8 }))
        .collect();
    let mut run = Run::of(PLENTY);
    for (job, request) in (0_u64..).zip(&requests) {
        run.start(start(job, request));
        run.step();
        run.step();
    }
    run.finish();
    for (job, request) in (0_u64..).zip(&requests) {
        assert_eq!(run.heard(job), &alone(request), "job {job}");
    }
    assert!(run.heard.values().any(|heard| heard.events.len() > 20), "some answers are long");
}

/// Counts calls, and fails those that one job has rows in.
struct Counting {
    calls: AtomicUsize,
    unlucky: Option<JobId>,
}

impl ExpertLayers for Counting {
    fn run(&self, layer: u16, hidden: &Rows, routes: &Routes) -> Result<Rows, ExpertsError> {
        SKILLS.0.experts.run(layer, hidden, routes)
    }

    fn run_for(&self, layer: u16, hidden: &Rows, routes: &Routes, owners: &[RowOwner]) -> Result<Rows, ExpertsError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        assert_eq!(owners.iter().map(|owner| owner.rows).sum::<usize>(), hidden.count(), "every row has an owner");
        if owners.iter().any(|owner| owner.rows > 0 && Some(owner.job) == self.unlucky) {
            return Err(ExpertsError { message: "nobody holds it".to_owned(), retryable: true, expert: None });
        }
        self.run(layer, hidden, routes)
    }
}

#[test]
fn a_layer_is_asked_once_for_everybody() {
    let experts = Counting { calls: AtomicUsize::new(0), unlucky: None };
    let mut run = Run::with(PLENTY, &experts);
    for job in 0..8 {
        let mut request = request(prompt(job as u32, 10), 5, 0.0);
        (request.stop, request.stop_ids) = (Vec::new(), Vec::new());
        run.start(start(job, &request));
    }
    run.finish();
    let layers = SKILLS.0.trunk.config().layers;
    assert_eq!(experts.calls.into_inner(), 5 * layers, "five passes for eight answers of five tokens");
}

#[test]
fn a_failed_call_fails_only_those_who_cannot_go_on() {
    let experts = Counting { calls: AtomicUsize::new(0), unlucky: Some(JobId(2)) };
    let mut run = Run::with(PLENTY, &experts);
    let requests: Vec<GenerateRequest> = (0..6).map(|seed| request(prompt(seed, 20), 12, 1.0)).collect();
    for (job, request) in (0_u64..).zip(&requests) {
        run.start(start(job, request));
    }
    run.finish();
    for (job, request) in (0_u64..).zip(&requests) {
        match job {
            2 => assert_eq!(run.heard(2).failure.as_deref(), Some("nobody holds it")),
            _ => assert_eq!(run.heard(job), &alone(request), "job {job}"),
        }
    }
}

/// Lacks one expert of layer 0, and counts the rows that were asked for.
struct Lacking {
    missing: u16,
    calls: AtomicUsize,
}

impl ExpertLayers for Lacking {
    fn run(&self, layer: u16, hidden: &Rows, routes: &Routes) -> Result<Rows, ExpertsError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if layer == 0 && routes.experts().contains(&self.missing) {
            let message = "nobody holds it".to_owned();
            return Err(ExpertsError { message, retryable: true, expert: Some(self.missing) });
        }
        SKILLS.0.experts.run(layer, hidden, routes)
    }
}

#[test]
fn a_missing_expert_fails_those_who_need_it_at_once_and_nobody_else() {
    let requests: Vec<GenerateRequest> = (0..8).map(|seed| request(prompt(seed, 1), 3, 0.0)).collect();
    let outcome = |missing| {
        let experts = Lacking { missing, calls: AtomicUsize::new(0) };
        let mut run = Run::with(PLENTY, &experts);
        for (job, request) in (0_u64..).zip(&requests) {
            run.start(start(job, request));
        }
        run.finish();
        let failed = (0..8).filter(|job| run.heard(*job).failure.is_some()).count();
        for (job, request) in (0_u64..).zip(&requests).filter(|(job, _)| run.heard(*job).failure.is_none()) {
            assert_eq!(run.heard(job), &alone(request), "job {job}");
        }
        (failed, experts.calls.into_inner())
    };
    let layers = SKILLS.0.trunk.config().layers;
    let outcomes: Vec<_> = (0..SKILLS.0.trunk.config().router.experts as u16).map(outcome).collect();
    assert!(outcomes.iter().any(|(failed, _)| (1..8).contains(failed)), "{outcomes:?}");
    // Three passes succeed; each failed one is found out by its first call, not by halves.
    assert!(outcomes.iter().all(|(_, calls)| *calls <= 3 * layers + 3), "{outcomes:?}");
}

#[test]
fn two_lanes_give_the_logits_of_one_and_find_the_same_at_fault() {
    let (trunk, vocab) = (&SKILLS.0.trunk, SKILLS.0.trunk.config().vocab_size as u32);
    let run = |two: bool, ids: &[u32], missing: Option<u16>| {
        let mut pool = PagePool::new(trunk.page_layout(), ids.len());
        let pages: Vec<_> = ids.iter().map(|_| pool.allocate().unwrap()).collect();
        let portion = |place: usize| Portion {
            job: JobId(place as u64),
            pages: &pages[place..=place],
            first: 0,
            ids: &ids[place..=place],
            wants_logits: true,
        };
        let portions: Vec<_> = (0..ids.len()).map(portion).collect();
        let experts = Lacking { missing: missing.unwrap_or(u16::MAX), calls: AtomicUsize::new(0) };
        let logits = match two {
            true => trunk.pass_in_two_lanes(&mut pool, &portions, &experts),
            false => trunk.pass(&mut pool, &portions, &experts, &mut |_, _| ()),
        };
        logits.map_err(|failed| failed.portions)
    };
    let ids: Vec<u32> = (0..7).map(|place| (place * 37 + 5) % vocab).collect();
    assert_eq!(run(true, &ids, None), run(false, &ids, None));
    let mut wrong = ids.clone();
    wrong[5] = vocab;
    assert_eq!(run(true, &wrong, None).unwrap_err(), [5]);
    for missing in 0..trunk.config().router.experts as u16 {
        let (one, two) = (run(false, &ids, Some(missing)), run(true, &ids, Some(missing)));
        match (one, two) {
            // The lanes fail by themselves, and the left one is heard.
            (Err(one), Err(two)) => {
                assert!(!two.is_empty() && two.iter().all(|place| one.contains(place)), "{one:?} {two:?}")
            }
            (one, two) => assert_eq!(one, two),
        }
    }
}

/// Experts behind a network, as far as the batch knows.
struct Away(AtomicUsize);

impl ExpertLayers for Away {
    fn is_away(&self) -> bool {
        true
    }

    fn run(&self, layer: u16, hidden: &Rows, routes: &Routes) -> Result<Rows, ExpertsError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        SKILLS.0.experts.run(layer, hidden, routes)
    }
}

#[test]
fn two_lanes_give_the_bytes_of_one() {
    let experts = Away(AtomicUsize::new(0));
    let mut run = Run::with(PLENTY, &experts);
    let requests: Vec<GenerateRequest> = (0..9).map(|seed| request(prompt(seed, 40), 30, 1.0)).collect();
    for (job, request) in (0_u64..).zip(&requests) {
        run.start(start(job, request));
    }
    run.finish();
    for (job, request) in (0_u64..).zip(&requests) {
        assert_eq!(run.heard(job), &alone(request), "job {job}");
    }
    let (passes, layers) = (run.batch.figures().passes as usize, SKILLS.0.trunk.config().layers);
    assert!(experts.0.into_inner() > passes * layers, "some passes had two lanes");
}

#[test]
fn preempted_answers_are_computed_again_to_the_same_text() {
    let mut requests: Vec<GenerateRequest> = (0..4).map(|seed| request(prompt(seed, 60), 100, 1.2)).collect();
    for request in &mut requests {
        // To the last token.
        (request.stop, request.stop_ids) = (Vec::new(), Vec::new());
    }
    // One answer takes five pages.
    let mut run = Run::of(8);
    for (job, request) in (0_u64..).zip(&requests) {
        run.start(start(job, request));
    }
    run.finish();
    assert!(run.batch.figures().preemptions > 0);
    for (job, request) in (0_u64..).zip(&requests) {
        assert_eq!(run.heard(job), &alone(request), "job {job}");
    }
}

#[test]
fn urgent_jobs_keep_their_pages_and_older_ones_before_younger() {
    let long = endless(prompt(1, 60), 60);
    let other = |seed| GenerateRequest { prompt: prompt(seed, 60), ..long.clone() };
    let mut run = Run::of(4);
    run.start(start(0, &long));
    run.start(Start { priority: Priority::High, ..start(1, &other(2)) });
    run.start(start(2, &other(3)));
    let mut ended = Vec::new();
    while run.batch.has_work() {
        run.step();
        let done = run.heard.iter().filter(|(_, heard)| heard.generated.is_some()).map(|(job, _)| job.0);
        let new: Vec<u64> = done.filter(|job| !ended.contains(job)).collect();
        ended.extend(new);
    }
    assert_eq!(ended, [1, 0, 2], "the urgent one first, then by age");
}

#[test]
fn a_long_prompt_does_not_stop_those_who_decode() {
    let talking = endless(prompt(1, 5), 60);
    let mut run = Run::of(PLENTY);
    run.start(start(0, &talking));
    run.step();
    run.start(start(1, &request(prompt(2, 500), 5, 0.0)));
    let before = run.heard(0).events.len();
    let mut steps = 0;
    while run.heard(1).events.is_empty() {
        run.step();
        steps += 1;
    }
    assert!(steps > 1, "the prompt came in parts");
    assert_eq!(run.heard(0).events.len() - before, steps, "a token in every pass");
}

#[test]
fn a_beginning_is_used_again_within_an_account_and_never_beyond() {
    let of = |account: &str, job, length| {
        let mut request = request(prompt(5, length), 3, 0.0);
        (request.stop, request.stop_ids) = (Vec::new(), Vec::new());
        Start { account: Account::named(account), ..start(job, &request) }
    };
    let length = 3 * PAGE_POSITIONS + 5;
    let mut run = Run::of(PLENTY);
    let mut reused = |start| {
        let before = run.batch.figures().pages.reused_tokens;
        run.start(start);
        run.finish();
        run.batch.figures().pages.reused_tokens - before
    };
    assert_eq!(reused(of("alice", 0, length)), 0);
    assert_eq!(reused(of("alice", 1, length)), 3 * PAGE_POSITIONS as u64);
    assert_eq!(reused(of("bob", 2, length)), 0, "the same prompt of another account");
    assert_eq!(reused(of("alice", 3, 2 * PAGE_POSITIONS)), PAGE_POSITIONS as u64, "the last token is always run");
    let (heard, expected) = (run.heard(1).clone(), alone(&of("alice", 1, length).request));
    assert_eq!(heard, expected);
    assert_eq!(run.heard(2), &expected);
}

#[test]
fn kept_pages_make_room_for_who_needs_them_the_longest_unused_first() {
    let of = |job, seed: u32| {
        let mut request = request(prompt(seed, 2 * PAGE_POSITIONS), 1, 0.0);
        (request.stop, request.stop_ids) = (Vec::new(), Vec::new());
        start(job, &request)
    };
    let mut run = Run::of(5);
    let mut reuses = |job, seed| {
        let before = run.batch.figures().pages.reused_tokens;
        run.start(of(job, seed));
        run.finish();
        run.batch.figures().pages.reused_tokens > before
    };
    assert!(!reuses(0, 1) && !reuses(1, 2), "four kept pages");
    assert!(reuses(2, 1), "so that the second is the longest unused");
    assert!(!reuses(3, 3), "takes the free page and one kept one");
    assert!(reuses(4, 1));
    assert!(!reuses(5, 2) || run.batch.figures().pages.used <= 5);
}

#[test]
fn what_a_tainted_job_computed_is_forgotten_and_who_used_it_is_named() {
    let asked = endless(prompt(9, 2 * PAGE_POSITIONS + 3), 40);
    let mut run = Run::of(PLENTY);
    run.start(start(0, &asked));
    run.step();
    run.start(start(1, &asked));
    run.start(Start { account: Account::named("other"), ..start(2, &asked) });
    run.step();
    assert_eq!(run.batch.figures().pages.reused_tokens, 2 * PAGE_POSITIONS as u64);
    assert_eq!(run.batch.taint(JobId(0)), [JobId(1)], "it stands on the other's pages");
    assert_eq!(run.batch.taint(JobId(1)), []);
    run.finish();
    assert_eq!(run.heard(2), &alone(&asked));
    let reused = run.batch.figures().pages.reused_tokens;
    run.start(start(3, &asked));
    assert_eq!(run.batch.figures().pages.reused_tokens, reused, "nothing of it is used again");
    run.finish();
    assert_eq!(run.heard(3), &alone(&asked));
}

#[test]
fn who_used_a_tainted_jobs_pages_is_named_also_when_it_has_lost_them() {
    let asked = endless(prompt(9, 2 * PAGE_POSITIONS + 3), 60);
    let mut run = Run::of(8);
    run.start(start(0, &asked));
    run.step();
    run.start(start(1, &asked));
    run.step();
    assert!(!run.heard(1).events.is_empty(), "it has drawn from the other's pages");
    let urgent = endless(prompt(3, 5 * PAGE_POSITIONS), 5);
    run.start(Start { priority: Priority::High, ..start(2, &urgent) });
    run.step();
    run.step();
    assert_eq!(run.batch.figures().preempted, 1);
    assert_eq!(run.batch.taint(JobId(0)), [JobId(1)]);
}

#[test]
fn a_prompt_without_pages_leaves_its_rows_to_others() {
    let (least, most) = (Account::named("least"), Account::named("most"));
    let mut run = Run::of(17);
    run.shares.start(&most, 1_000);
    run.shares.start(&least, 500);
    let asked: Vec<GenerateRequest> =
        [380, 300, 500, 500].iter().zip(0..).map(|(length, seed)| endless(prompt(seed, *length), 5)).collect();
    let of = |job: usize, account: &Account| Start { account: account.clone(), ..start(job as u64, &asked[job]) };
    run.start(of(0, &least));
    run.start(of(1, &most));
    run.step();
    run.batch.end(JobId(0));
    // They come first, and find no pages beside those of the one before them in rank.
    run.start(of(2, &least));
    run.start(of(3, &least));
    run.finish();
    for (job, asked) in asked.iter().enumerate().skip(1) {
        assert_eq!(run.heard(job as u64), &alone(asked), "job {job}");
    }
}

#[test]
fn one_who_is_not_read_stands_in_nobodys_way() {
    let asked = endless(prompt(3, 60), 60);
    let mut run = Run::of(4);
    run.start(start(0, &asked));
    run.start(start(1, &asked));
    while run.batch.figures().preemptions == 0 {
        run.step();
    }
    run.batch.pause(JobId(0), true);
    for _ in 0..STUCK {
        run.step();
    }
    assert_eq!(run.heard(1), &alone(&asked));
    assert!(run.batch.has_room(60), "what it holds is there for others");
    run.batch.pause(JobId(0), false);
    run.finish();
    assert_eq!(run.heard(0), &alone(&asked));
}

#[test]
fn a_reader_that_does_not_keep_up_stops_nobody() {
    let asked = endless(prompt(3, 40), 30);
    let mut run = Run::of(PLENTY);
    run.start(start(0, &asked));
    run.start(start(1, &asked));
    run.step();
    run.batch.pause(JobId(0), true);
    let heard = run.heard(0).events.len();
    while run.batch.has_work() {
        run.step();
    }
    assert_eq!((run.heard(0).events.len(), run.heard(1)), (heard, &alone(&asked)));
    run.batch.pause(JobId(0), false);
    run.finish();
    assert_eq!(run.heard(0), &alone(&asked));
}

#[test]
fn a_prompt_that_has_no_room_is_refused_before_it_starts() {
    let mut batch = batch(2);
    assert_eq!(batch.context(), 2 * PAGE_POSITIONS);
    let error = batch.start(start(0, &request(prompt(1, 65), 5, 0.0))).expect_err("one too many");
    assert_eq!(error.to_string(), "65 tokens exceed the context of 64");
    assert!(batch.start(start(1, &request(vec![9_999], 5, 0.0))).is_err(), "no token of this model");
    assert_eq!(batch.figures().sequences, 0);
}
