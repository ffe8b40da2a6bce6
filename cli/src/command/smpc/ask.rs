//! `neuro smpc ask`: one question, split for three parties.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use neuro_model::ChatMessage;
use neuro_node::smpc_role::client::ClientError;
use neuro_node::smpc_role::model::ClientModel;
use neuro_node::smpc_role::parties::Parties;
use neuro_node::smpc_role::party::TRANSCRIPTS;
use neuro_node::smpc_role::secret_weights::Reservation;
use neuro_smpc::computation::Security;
use serde_json::json;

use super::extraction::Account;
use super::generation::{Asking, Given, generate};
use crate::args::GlobalArgs;
use crate::command::ask::SamplingArgs;
use crate::exit_code::Outcome;
use crate::failure::{CommandResult, Failure};
use crate::output::{Output, Style, bytes};
use crate::runtime;

/// Tokens of an answer when nobody says how many: each costs seconds.
const DEFAULT_MAX_TOKENS: usize = 32;

/// What three parties cannot help.
const COLLUSION: &str = "any two of them together could read the question and the answer; one alone cannot";

/// What is not hidden from the parties.
const LENGTHS: &str = "each of them learns how long the question and the answer are";

/// Options of `neuro smpc ask`.
#[derive(Debug, ClapArgs)]
pub struct AskArgs {
    /// The question
    #[arg(value_name = "TEXT")]
    pub text: String,
    /// The parties file, obtained from where you trust it: its keys are the only ones that are talked to
    #[arg(long, value_name = "FILE")]
    pub parties: PathBuf,
    /// The model, or the public folder of a private one: tokenizer and embedding stay here, and its hash is what the
    /// parties must have
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Trust that no party deviates: faster, and for comparison only
    #[arg(long)]
    pub semi_honest: bool,
    /// Sessions that may follow one that loses a party; each shares the text so far anew
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub restarts: u32,
    /// The longest wait for one token
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub deadline: u64,
    /// How to sample.
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// Run the output matrix alone, which is no language model: to try links and sessions
    #[arg(long, hide = true)]
    pub trial_head: bool,
}

/// Asks, and prints the answer.
///
/// # Errors
/// When the parties cannot be reached, do not agree, or one of them is wrong.
pub fn run(global: &GlobalArgs, args: &AskArgs, output: Output) -> CommandResult {
    let parties = super::parties(&args.parties)?;
    let data_dir = runtime::data_dir(global)?;
    let model = ClientModel::load(&args.model)?;
    let prompt = model.prompt(&[ChatMessage { role: "user".to_owned(), content: args.text.clone() }])?;
    let room = model.facts().context.saturating_sub(prompt.len());
    if room == 0 {
        let (tokens, context) = (prompt.len(), model.facts().context);
        let message = format!("the prompt has {tokens} tokens; prompt and answer together have room for {context}");
        return Err(Failure::message(Outcome::Refused, message).hint("ask about less text at a time"));
    }
    let key = data_dir.node_key()?;
    let account = Account::of(&model, &data_dir, key.node_id())?;
    if !output.json {
        introduce(&parties, args.semi_honest, output);
        account.iter().for_each(|account| account.introduce(output));
    }
    let max_tokens = args.sampling.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS).min(room);
    let max_tokens = account.as_ref().map_or(max_tokens, |account| account.left_of(max_tokens));
    let counted = account.as_ref().map(|account| account.reserve(max_tokens)).transpose()?;
    let asking = Asking {
        key,
        parties: &parties,
        model: &model,
        program: super::program(args.trial_head, &model),
        security: if args.semi_honest { Security::SemiHonest } else { Security::Malicious },
        max_tokens,
        sampling: &args.sampling,
        deadline: Duration::from_secs(args.deadline),
        restarts: args.restarts,
    };
    let folder = data_dir.folder(TRANSCRIPTS)?;
    runtime::tokio()?.block_on(async {
        let stop = runtime::stop_token(false)?;
        let given = tokio::select! {
            given = generate(&asking, &prompt) => given?,
            () = stop.cancelled() => return Err(Failure::message(Outcome::Interrupted, "interrupted")),
        };
        settle(counted, &given)?;
        let path = folder.join(format!("{}.transcript", given.session));
        neuro_node::os::private_file::replace(&path, &given.transcript.encode())?;
        let text = model.tokenizer().decode(&given.tokens, true)?;
        let file = path.display().to_string();
        if output.json {
            let mut object = answer_object(&given, &text, &file, &asking, prompt.len());
            if let Some(account) = &account {
                object["secret_weights"] = account.object();
            }
            return output.object(&object);
        }
        output.line(text)?;
        let Given { cost, tokens, .. } = &given;
        let spent =
            format!("{} tokens, {} rounds, {} between the parties", tokens.len(), cost.rounds, bytes(cost.bytes));
        eprintln!("\n{spent}\ntranscript {}", output.paint(Style::Copy, &file));
        Ok(())
    })
}

/// Counts what the parties have told.
fn settle(counted: Option<Reservation>, given: &Given) -> CommandResult {
    let refused = |error| Failure::new(Outcome::Refused, error);
    let statements = given.transcript.verified().map_err(refused)?;
    if let Some(mut counted) = counted {
        counted.spend(statements.first().map_or(0, |statement| u64::from(statement.tokens)));
    }
    Ok(())
}

/// Says who will compute, and what three parties do not protect against.
fn introduce(parties: &Parties, semi_honest: bool, output: Output) {
    for entry in parties.entries() {
        let (index, node) = (entry.index, entry.node.short());
        eprintln!("party {index}  {}, {}, {} (node {node})", entry.operator, entry.network, entry.region);
    }
    for doubt in parties.doubts() {
        eprintln!("{} {doubt}", output.paint(Style::Error, "beware:"));
    }
    eprintln!("{COLLUSION}; {LENGTHS}");
    if semi_honest {
        eprintln!("{} a party that deviates is not found out", output.paint(Style::Error, "semi-honest:"));
    }
}

fn answer_object(given: &Given, text: &str, file: &str, asking: &Asking<'_>, prompt: usize) -> serde_json::Value {
    let parties: Vec<_> = asking.parties.entries().iter().map(|entry| json!(entry)).collect();
    json!({
        "answer": text,
        "prompt_tokens": prompt,
        "completion_tokens": given.tokens.len(),
        "sessions": given.sessions,
        "session": given.session.to_string(),
        "security": if asking.security == Security::Malicious { "malicious" } else { "semi-honest" },
        "rounds": given.cost.rounds,
        "bytes": given.cost.bytes,
        "parties": parties,
        "doubts": asking.parties.doubts(),
        "limits": [COLLUSION, LENGTHS],
        "transcript": file,
    })
}

/// The exit status of a session's failure.
pub(super) fn failure(error: ClientError) -> Failure {
    let outcome = if error.is_unreachable() { Outcome::Unreachable } else { Outcome::Failed };
    Failure::new(outcome, error)
}
