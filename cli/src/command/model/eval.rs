//! `neuro model eval DIR`: answers the questions of `test.jsonl` and counts the right ones per skill.
//!
//! The rule of marking: greedy decoding of at most the answer's tokens + 4, special tokens dropped, white space
//! trimmed at both ends, exact match.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use futures::StreamExt;
use neuro_model::Tokenizer;
use serde_json::json;

use super::questions::{Question, SLACK_TOKENS, read_questions};
use crate::answerer::Answerer;
use crate::api_client::{ApiClient, ChatRequest, Message};
use crate::exit_code::Outcome;
use crate::failure::{CommandResult, Failure};
use crate::network_process::{NetworkPlan, NetworkProcess};
use crate::output::Output;
use crate::{progress, runtime};

/// Questions asked at once: enough to keep the slots of a default node busy.
const ASKED_AT_ONCE: usize = 4;

/// Options of `neuro model eval`.
#[derive(Debug, ClapArgs)]
pub struct EvalArgs {
    /// A Hugging Face folder with a test.jsonl of {"skill", "question", "answer"} lines
    pub dir: PathBuf,
    /// Answer across this many worker processes instead of in this one
    #[arg(long, value_name = "N", conflicts_with = "url")]
    pub workers: Option<usize>,
    /// Ask a running node that serves this model
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}

/// Right answers of one skill.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Score {
    skill: String,
    right: usize,
    of: usize,
}

/// Runs every question and prints the accuracy per skill.
///
/// # Errors
/// When the questions cannot be read or one is not answered at all.
pub fn run(args: &EvalArgs, output: Output) -> CommandResult {
    let questions = read_questions(&args.dir.join("test.jsonl"))?;
    let tokenizer = Tokenizer::from_bytes(&std::fs::read(args.dir.join("tokenizer.json"))?)?;
    runtime::tokio()?.block_on(async {
        let stop = runtime::stop_token(false)?;
        let (answerer, network, _folder) = answerer(args).await?;
        let marked = tokio::select! {
            marked = mark(&answerer, &tokenizer, &questions) => marked,
            () = stop.cancelled() => Err(Failure::message(Outcome::Interrupted, "interrupted")),
        };
        if let Some(network) = network {
            network.stop().await;
        }
        show(&marked?, output)
    })
}

/// Who answers: this process, a network started for the purpose, or a running node.
async fn answerer(args: &EvalArgs) -> Result<(Answerer, Option<NetworkProcess>, Option<tempfile::TempDir>), Failure> {
    if let Some(url) = &args.url {
        return Ok((Answerer::Remote(ApiClient::new(url, None)?), None, None));
    }
    let Some(workers) = args.workers.filter(|&workers| workers > 0) else {
        return Ok((Answerer::local(&args.dir)?, None, None));
    };
    let folder = tempfile::Builder::new().prefix("neuro-eval-").tempdir()?;
    let threads = (std::thread::available_parallelism().map_or(1, usize::from) / workers).max(1);
    let plan = NetworkPlan {
        root: folder.path().to_owned(),
        model: args.dir.clone(),
        workers,
        threads,
        api: "127.0.0.1:0".to_owned(),
        reachable: false,
        store: None,
    };
    let network = NetworkProcess::start(&plan, &mut |_| {}).await?;
    let client = ApiClient::new(&network.ready.api, None)?;
    Ok((Answerer::Remote(client), Some(network), Some(folder)))
}

async fn mark(answerer: &Answerer, tokenizer: &Tokenizer, questions: &[Question]) -> Result<Vec<Score>, Failure> {
    let bar = progress::items("answering", questions.len() as u64);
    let mut answers = futures::stream::iter(questions.iter().enumerate())
        .map(async |(index, question)| (index, is_right(answerer, tokenizer, question).await))
        .buffer_unordered(ASKED_AT_ONCE);
    let mut scores: Vec<Score> = Vec::new();
    while let Some((index, right)) = answers.next().await {
        let (skill, right) = (&questions[index].skill, usize::from(right?));
        match scores.iter_mut().find(|score| score.skill == *skill) {
            Some(score) => (score.right, score.of) = (score.right + right, score.of + 1),
            None => scores.push(Score { skill: skill.clone(), right, of: 1 }),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let position = |score: &Score| questions.iter().position(|question| question.skill == score.skill);
    scores.sort_by_key(position);
    Ok(scores)
}

async fn is_right(answerer: &Answerer, tokenizer: &Tokenizer, question: &Question) -> Result<bool, Failure> {
    let answer_tokens = tokenizer.encode(&question.answer, false)?.len();
    let request = ChatRequest {
        messages: vec![Message { role: "user".to_owned(), content: question.question.clone() }],
        max_tokens: Some(answer_tokens + SLACK_TOKENS),
        temperature: 0.0,
        seed: None,
    };
    let never = tokio_util::sync::CancellationToken::new();
    let reply = answerer.chat(&request, &mut |_| Ok(()), &never).await?;
    Ok(reply.text.trim() == question.answer.trim())
}

fn show(scores: &[Score], output: Output) -> CommandResult {
    let (right, of) = scores.iter().fold((0, 0), |(right, of), score| (right + score.right, of + score.of));
    if output.json {
        let per = |value: fn(&Score) -> usize| -> serde_json::Map<String, serde_json::Value> {
            scores.iter().map(|score| (score.skill.clone(), value(score).into())).collect()
        };
        let (mut rights, mut ofs) = (per(|score| score.right), per(|score| score.of));
        rights.insert("all".to_owned(), right.into());
        ofs.insert("all".to_owned(), of.into());
        return output.object(&json!({"right": rights, "of": ofs}));
    }
    let all = Score { skill: "all".to_owned(), right, of };
    let rows: Vec<Vec<String>> = scores
        .iter()
        .chain([&all])
        .map(|score| {
            let percent = 100.0 * score.right as f64 / score.of.max(1) as f64;
            vec![score.skill.clone(), score.right.to_string(), score.of.to_string(), format!("{percent:.1} %")]
        })
        .collect();
    output.line(output.table(&["skill", "right", "of", "accuracy"], &rows))
}
