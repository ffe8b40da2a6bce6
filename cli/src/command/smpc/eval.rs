//! `neuro smpc eval`: asks questions on shares and in the open, and records whether the answers are the same.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args as ClapArgs;
use neuro_node::smpc_role::PROTOCOL_VERSION;
use neuro_node::smpc_role::client::Cost;
use neuro_node::smpc_role::model::ClientModel;
use neuro_primitives::Hash;
use neuro_smpc::computation::Security;
use serde::Serialize;
use serde_json::json;

use super::generation::{Asking, generate};
use super::prompts::Prompts;
use crate::answerer::Answerer;
use crate::api_client::{ChatRequest, Message};
use crate::args::GlobalArgs;
use crate::command::ask::SamplingArgs;
use crate::command::model::questions::{Question, SLACK_TOKENS, read_questions};
use crate::exit_code::Outcome;
use crate::failure::{CommandResult, Failure};
use crate::output::{Output, bytes};
use crate::runtime;

/// The version of records.
const RECORD_VERSION: u16 = 1;

/// Options of `neuro smpc eval`.
#[derive(Debug, ClapArgs)]
pub struct EvalArgs {
    /// The parties file
    #[arg(long, value_name = "FILE")]
    pub parties: PathBuf,
    /// The model, all of it: it also answers in the open, here
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// One {"skill", "question", "answer"} object a line
    #[arg(long, value_name = "FILE")]
    pub questions: PathBuf,
    /// Ask so many questions, evenly taken from the file; all by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
    /// Questions that go through together, in one session
    #[arg(long, value_name = "B", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub batch: u32,
    /// Trust that no party deviates: faster, and for comparison only
    #[arg(long)]
    pub semi_honest: bool,
    /// The model's range profile, the one that the parties have; without it, it is made and kept in the data folder
    #[arg(long, value_name = "PROFILE")]
    pub ranges: Option<PathBuf>,
    /// The longest wait for one token
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub deadline: u64,
    /// The record to write
    #[arg(long, value_name = "RECORD")]
    pub out: PathBuf,
}

/// What is kept of a run.
#[derive(Serialize)]
struct Record {
    version: u16,
    program_version: &'static str,
    protocol_version: u16,
    model: String,
    program: String,
    ranges: String,
    parties_file: String,
    questions_file: String,
    security: &'static str,
    batch: u32,
    asked: usize,
    /// Answers that are those of plaintext.
    equal: usize,
    /// Answers that are the file's.
    right: usize,
    /// Those of plaintext that are.
    plaintext_right: usize,
    sessions: Vec<SessionRecord>,
    answers: Vec<AnswerRecord>,
}

/// What one session cost.
#[derive(Serialize)]
struct SessionRecord {
    session: String,
    questions: usize,
    rounds: u64,
    bytes: u64,
    seconds: f64,
}

/// One question.
#[derive(Serialize)]
struct AnswerRecord {
    skill: String,
    question: String,
    expected: String,
    plaintext: String,
    answer: String,
    equal: bool,
}

/// Asks all questions, writes the record and prints a summary.
///
/// # Errors
/// When questions, model or parties cannot be used. Answers that differ are no error: they are in the record.
pub fn run(global: &GlobalArgs, args: &EvalArgs, output: Output) -> CommandResult {
    let parties = super::parties(&args.parties)?;
    let data_dir = runtime::data_dir(global)?;
    let key = super::client_key(&data_dir, &parties)?;
    let (questions, file) = (spread(read_questions(&args.questions)?, args.limit), std::fs::read(&args.questions)?);
    let model = ClientModel::load(&args.model)?;
    let ranges = super::ranges::hash(&data_dir, &args.model, &model, args.ranges.as_deref(), true)?;
    let sampling = SamplingArgs { max_tokens: None, temperature: 0.0, seed: None };
    let asking = Asking {
        key,
        parties: &parties,
        model: &model,
        program: super::program(false, &model),
        ranges,
        security: if args.semi_honest { Security::SemiHonest } else { Security::Malicious },
        max_tokens: 0,
        sampling: &sampling,
        deadline: Duration::from_secs(args.deadline),
        restarts: 0,
        reveals_routes: false,
        comparison: None,
        counted: None,
    };
    let answerer = Answerer::local(&args.model)?;
    let mut told = |answer: &AnswerRecord| {
        let event = json!({"event": "answered", "question": answer.question, "equal": answer.equal});
        if global.json_lines { output.object(&event) } else { Ok(()) }
    };
    let mut record = Record::begun(&asking, args, &file);
    runtime::tokio()?.block_on(async {
        let stop = runtime::stop_token(false)?;
        tokio::select! {
            asked = ask_all(&asking, &answerer, &questions, &mut record, &mut told) => asked,
            () = stop.cancelled() => Err(Failure::message(Outcome::Interrupted, "interrupted")),
        }
    })?;
    let mut text = serde_json::to_vec_pretty(&record)?;
    text.push(b'\n');
    std::fs::write(&args.out, text)?;
    if global.json_lines {
        return output.object(&json!({"event": "done", "asked": record.asked, "equal": record.equal}));
    }
    show(&record, output)
}

impl Record {
    fn begun(asking: &Asking<'_>, args: &EvalArgs, questions: &[u8]) -> Self {
        Self {
            version: RECORD_VERSION,
            program_version: env!("CARGO_PKG_VERSION"),
            protocol_version: PROTOCOL_VERSION,
            model: asking.model.facts().hash.to_string(),
            program: asking.program.to_string(),
            ranges: asking.ranges.to_string(),
            parties_file: asking.parties.hash().to_string(),
            questions_file: Hash::of(questions).to_string(),
            security: if args.semi_honest { "semi-honest" } else { "malicious" },
            batch: args.batch,
            asked: 0,
            equal: 0,
            right: 0,
            plaintext_right: 0,
            sessions: Vec::new(),
            answers: Vec::new(),
        }
    }

    fn add(&mut self, question: &Question, plaintext: String, answer: String) {
        let equal = plaintext == answer;
        let right = |text: &str| usize::from(text.trim() == question.answer.trim());
        self.asked += 1;
        self.equal += usize::from(equal);
        self.right += right(&answer);
        self.plaintext_right += right(&plaintext);
        let Question { skill, question, answer: expected } = question.clone();
        self.answers.push(AnswerRecord { skill, question, expected, plaintext, answer, equal });
    }
}

/// `limit` of the questions, evenly spread over them: files have one skill after the other.
fn spread(questions: Vec<Question>, limit: Option<u32>) -> Vec<Question> {
    let all = questions.len();
    let wanted = limit.map_or(all, |limit| all.min(limit as usize));
    (0..wanted).map(|at| questions[at * all / wanted].clone()).collect()
}

async fn ask_all(
    asking: &Asking<'_>,
    answerer: &Answerer,
    questions: &[Question],
    record: &mut Record,
    told: &mut dyn FnMut(&AnswerRecord) -> CommandResult,
) -> CommandResult {
    for batch in questions.chunks(record.batch as usize) {
        let begun = Instant::now();
        let limits = batch.iter().map(|question| most_tokens(asking.model, question)).collect::<Result<Vec<_>, _>>()?;
        let (answers, cost, session) = ask_batch(asking, batch, &limits).await?;
        let seconds = begun.elapsed().as_secs_f64();
        let Cost { rounds, bytes } = cost;
        record.sessions.push(SessionRecord { session, questions: batch.len(), rounds, bytes, seconds });
        for ((question, limit), tokens) in batch.iter().zip(limits).zip(answers) {
            let answer = asking.model.tokenizer().decode(&tokens[..tokens.len().min(limit)], true)?;
            record.add(question, in_the_open(answerer, question, limit).await?, answer);
            record.answers.last().map_or(Ok(()), &mut *told)?;
        }
    }
    Ok(())
}

/// As `neuro model eval` has it: as many as the right answer has, and some more.
fn most_tokens(model: &ClientModel, question: &Question) -> Result<usize, Failure> {
    Ok(model.tokenizer().encode(&question.answer, false)?.len() + SLACK_TOKENS)
}

/// The tokens of every answer, what they cost, and the session.
async fn ask_batch(
    asking: &Asking<'_>,
    batch: &[Question],
    limits: &[usize],
) -> Result<(Vec<Vec<u32>>, Cost, String), Failure> {
    let asking = Asking { max_tokens: limits.iter().copied().max().unwrap_or(1), ..asking.clone() };
    let prompts = Prompts::of(asking.model, batch.iter().map(|question| &question.question))?;
    let given = generate(&asking, &prompts).await?;
    if let Err(error) = &given.transcript {
        eprintln!("session {}: no complete transcript: {error}", given.session);
    }
    Ok((given.answers, given.cost, given.session.to_string()))
}

async fn in_the_open(answerer: &Answerer, question: &Question, limit: usize) -> Result<String, Failure> {
    let request = ChatRequest {
        messages: vec![Message { role: "user".to_owned(), content: question.question.clone() }],
        max_tokens: Some(limit),
        temperature: 0.0,
        seed: None,
    };
    let never = tokio_util::sync::CancellationToken::new();
    Ok(answerer.chat(&request, &mut |_| Ok(()), &never).await?.text)
}

fn show(record: &Record, output: Output) -> CommandResult {
    if output.json {
        return output.object(record);
    }
    for answer in record.answers.iter().filter(|answer| !answer.equal) {
        let AnswerRecord { question, plaintext, answer, .. } = answer;
        output.line(format!("{question:?}: {answer:?} on shares, {plaintext:?} in the open"))?;
    }
    let rounds: u64 = record.sessions.iter().map(|session| session.rounds).sum();
    let sent: u64 = record.sessions.iter().map(|session| session.bytes).sum();
    let seconds: f64 = record.sessions.iter().map(|session| session.seconds).sum();
    let Record { asked, equal, right, plaintext_right, .. } = record;
    output.line(format!(
        "{equal} of {asked} answers are those in the open; {right} are right, {plaintext_right} there"
    ))?;
    let (sessions, sent) = (record.sessions.len(), bytes(sent));
    output.line(format!("{sessions} sessions, {rounds} rounds, {sent} between the parties, {seconds:.1} s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_questions_of_many_are_from_everywhere() {
        let question =
            |number: u32| Question { skill: String::new(), question: number.to_string(), answer: String::new() };
        let all: Vec<Question> = (0..400).map(question).collect();
        let of =
            |limit| spread(all.clone(), limit).iter().map(|question| question.question.clone()).collect::<Vec<_>>();
        assert_eq!(of(Some(4)), ["0", "100", "200", "300"]);
        assert_eq!((of(None).len(), of(Some(1000)).len()), (400, 400));
    }
}
