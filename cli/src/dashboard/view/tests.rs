//! Every view at 80×24, from a fixed status.

use neuro_protocol::control::{
    JobState, JobStatus, LayerCounts, ModelStatus, NodeStatus, PathKind, Status, Totals, WorkerState, WorkerStatus,
};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;

fn screen(app: &App) -> String {
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    terminal.draw(|frame| draw(frame, app)).unwrap();
    terminal.backend().to_string()
}

fn on(page: Page, status: Status) -> App {
    App { page, seen: Seen::Status(Box::new(status)), ..App::new() }
}

fn worker(name: &str, state: WorkerState) -> WorkerStatus {
    let measured = state == WorkerState::Ready;
    WorkerStatus {
        id: "5e".repeat(32),
        name: name.to_owned(),
        state: state.into(),
        threads: 1,
        experts_held: if measured { 16 } else { 0 },
        resident_bytes: if measured { 6 << 20 } else { 0 },
        memory_limit_bytes: 1 << 30,
        rtt_us_p50: measured.then_some(312),
        rtt_us_p95: measured.then_some(1_240),
        in_flight: u32::from(measured),
        tasks_done: if measured { 4_711 } else { 0 },
        tasks_late: if measured { 3 } else { 0 },
        faults: 0,
        connected_unix_ms: 1_700_000_000_000,
        path: PathKind::Direct.into(),
        transport: "tcp".to_owned(),
        ..WorkerStatus::default()
    }
}

fn job(id: u64, state: JobState) -> JobStatus {
    let decoding = state == JobState::Decode;
    JobStatus {
        id,
        state: state.into(),
        prompt_tokens: 21,
        completion_tokens: if decoding { 8 } else { 0 },
        tokens_per_second: decoding.then_some(123.4),
        age_ms: 1_530,
        endpoint: "/v1/chat/completions".to_owned(),
    }
}

fn layers(count: impl Fn(u64) -> u64) -> Vec<LayerCounts> {
    (0..4)
        .map(|layer| LayerCounts { layer, counts: (0..8).map(|expert| count(u64::from(layer) * 8 + expert)).collect() })
        .collect()
}

fn status() -> Status {
    Status {
        node: Some(NodeStatus {
            id: "ab".repeat(32),
            role: "orchestrator".to_owned(),
            version: "0.1.0".to_owned(),
            started_unix_ms: 1_700_000_000_000,
            api: "http://127.0.0.1:11711".to_owned(),
            control: "127.0.0.1:11712".to_owned(),
            p2p: vec!["/ip4/127.0.0.1/tcp/11713".to_owned()],
        }),
        model: Some(ModelStatus {
            id: "cd".repeat(32),
            name: "skills".to_owned(),
            architecture: "mixtral".to_owned(),
            layers: 4,
            experts: 8,
            top_k: 2,
            d_model: 128,
            parameters: 3_482_112,
            trunk_bytes: 671_744,
            expert_bytes: 6_291_456,
            context: 512,
        }),
        workers: vec![
            worker("worker-1", WorkerState::Ready),
            worker("worker-2", WorkerState::Loading),
            worker("", WorkerState::Gone),
        ],
        expert_use: layers(|index| index * index % 97),
        holders: layers(|index| if index == 13 { 0 } else { 2 }),
        jobs: vec![job(7, JobState::Decode), job(8, JobState::Prefill), job(9, JobState::Queued)],
        totals: Some(Totals {
            tokens: 4_096,
            jobs_done: 6,
            jobs_failed: 0,
            tasks: 65_536,
            reissues: 3,
            queue_depth: 1,
            slots: 8,
            tokens_per_second: Some(123.4),
            preempted: 1,
            cache_bytes: 96 << 20,
            cache_limit_bytes: 512 << 20,
            reused_tokens: 320,
            checks: 2_048,
            liars: 1,
        }),
        join_command: "neuro worker start --join neuro-ticket-abc".to_owned(),
        store: None,
    }
}

#[test]
fn overview() {
    insta::assert_snapshot!(screen(&on(Page::Overview, status())));
}

#[test]
fn experts() {
    insta::assert_snapshot!(screen(&on(Page::Experts, status())));
}

#[test]
fn workers() {
    insta::assert_snapshot!(screen(&on(Page::Workers, status())));
}

#[test]
fn requests() {
    insta::assert_snapshot!(screen(&on(Page::Requests, status())));
}

#[test]
fn a_node_at_rest() {
    let at_rest = Status { workers: vec![], jobs: vec![], ..status() };
    insta::assert_snapshot!("workers_none", screen(&on(Page::Workers, at_rest.clone())));
    insta::assert_snapshot!("requests_none", screen(&on(Page::Requests, at_rest)));
}

#[test]
fn without_a_node_every_page_has_its_frame_and_says_how_to_start_one() {
    for page in Page::ALL {
        let seen = Seen::Absent("no node runs on /home/ada/.local/share/neuro".to_owned());
        let screen = screen(&App { page, seen, ..App::new() });
        assert!(screen.contains(&format!(" {} ", page.title())), "{screen}");
        assert!(screen.contains("neuro up"), "{screen}");
        insta::assert_snapshot!(format!("absent_{}", page.title().to_lowercase()), screen);
    }
}

#[test]
fn help() {
    insta::assert_snapshot!(screen(&App { help: true, ..on(Page::Overview, status()) }));
}

#[test]
fn a_hundred_experts_fit_the_screen() {
    let wide = |count: u64| (0..48).map(|layer| LayerCounts { layer, counts: vec![count; 128] }).collect::<Vec<_>>();
    let status = Status { expert_use: wide(3), holders: wide(2), ..status() };
    insta::assert_snapshot!(screen(&on(Page::Experts, status)));
}

#[test]
fn a_tiny_terminal_is_no_reason_to_fall() {
    let mut terminal = Terminal::new(TestBackend::new(5, 3)).unwrap();
    for page in Page::ALL {
        terminal.draw(|frame| draw(frame, &on(page, status()))).unwrap();
    }
}
