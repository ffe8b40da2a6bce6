//! `neuro smpc ask`: one question, split for three parties.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use neuro_model::ChatMessage;
use neuro_node::os::private_file;
use neuro_node::smpc_role::agreement::Routes;
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
pub(super) const DEFAULT_MAX_TOKENS: u32 = 32;

/// What three parties cannot help.
const COLLUSION: &str = "any two of them together could read the question and the answer; one alone cannot";

/// What is not hidden from the parties.
const LENGTHS: &str = "each of them learns how long the answer is, and the question roughly: 16, 32, 64 … tokens";

/// Options of `neuro smpc ask`.
#[derive(Debug, ClapArgs)]
pub struct AskArgs {
    /// The question; several are answered together, in the rounds of one
    #[arg(value_name = "TEXT", required = true, num_args = 1..=64)]
    pub texts: Vec<String>,
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
    /// Let the parties see which experts each token meets, which tells them what the text is. You sign that you know
    /// it; they compute less
    #[arg(long)]
    pub reveal_routes: bool,
    /// Sessions that may follow one that loses a party; each shares the text so far anew
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub restarts: u32,
    /// The longest wait for one token
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub deadline: u64,
    /// How to sample.
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// The model's range profile, the one that the parties have; without it, it is made and kept in the data folder
    #[arg(long, value_name = "PROFILE")]
    pub ranges: Option<PathBuf>,
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
    let prompt = |text: &String| model.prompt(&[ChatMessage { role: "user".to_owned(), content: text.clone() }]);
    let prompts = args.texts.iter().map(prompt).collect::<Result<Vec<_>, _>>()?;
    let longest = prompts.iter().map(Vec::len).max().unwrap_or_default();
    let room = model.facts().context.saturating_sub(longest);
    if room == 0 {
        let (tokens, context) = (longest, model.facts().context);
        let message = format!("the prompt has {tokens} tokens; prompt and answer together have room for {context}");
        return Err(Failure::message(Outcome::Refused, message).hint("ask about less text at a time"));
    }
    let key = data_dir.node_key()?;
    let account = Account::of(&model, &data_dir, key.node_id())?;
    if !output.json {
        introduce(&parties, args, output);
        account.iter().for_each(|account| account.introduce(output));
    }
    let ranges = super::ranges::hash(&data_dir, &args.model, &model, args.ranges.as_deref(), !args.trial_head)?;
    let max_tokens = args.sampling.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS as usize).min(room);
    let max_tokens = account.as_ref().map_or(max_tokens, |account| account.left_of(max_tokens));
    let counted = account.as_ref().map(|account| account.reserve(max_tokens)).transpose()?;
    let asking = Asking {
        ranges,
        key,
        parties: &parties,
        model: &model,
        program: super::program(args.trial_head, &model),
        security: if args.semi_honest { Security::SemiHonest } else { Security::Malicious },
        max_tokens,
        sampling: &args.sampling,
        deadline: Duration::from_secs(args.deadline),
        restarts: args.restarts,
        reveals_routes: args.reveal_routes,
    };
    let folder = data_dir.folder(TRANSCRIPTS)?;
    runtime::tokio()?.block_on(async {
        let stop = runtime::stop_token(false)?;
        let given = tokio::select! {
            given = generate(&asking, &prompts) => given?,
            () = stop.cancelled() => return Err(Failure::message(Outcome::Interrupted, "interrupted")),
        };
        settle(counted, &given)?;
        let path = folder.join(format!("{}.transcript", given.session));
        let kept = private_file::replace(&path, &given.transcript.encode());
        let kept = kept.map_err(|error| Failure::message(Outcome::Failed, format!("no transcript is kept: {error}")));
        let decode = |tokens: &Vec<u32>| model.tokenizer().decode(tokens, true);
        let answers = given.answers.iter().map(decode).collect::<Result<Vec<_>, _>>()?;
        let file = path.display().to_string();
        if output.json {
            let mut object = answer_object(&given, &answers, &file, &asking, &prompts);
            if let Some(account) = &account {
                object["secret_weights"] = account.object();
            }
            output.object(&object)?;
            return kept;
        }
        answers.iter().try_for_each(|answer| output.line(answer))?;
        let cost = given.cost;
        let tokens: usize = given.answers.iter().map(Vec::len).sum();
        let spent = format!("{tokens} tokens, {} rounds, {} between the parties", cost.rounds, bytes(cost.bytes));
        eprintln!("\n{spent}");
        kept?;
        eprintln!("transcript {}", output.paint(Style::Copy, &file));
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
fn introduce(parties: &Parties, args: &AskArgs, output: Output) {
    for entry in parties.entries() {
        let (index, node) = (entry.index, entry.node.short());
        eprintln!("party {index}  {}, {}, {} (node {node})", entry.operator, entry.network, entry.region);
    }
    for doubt in parties.doubts() {
        eprintln!("{} {doubt}", output.paint(Style::Error, "beware:"));
    }
    eprintln!("{COLLUSION}; {LENGTHS}");
    if args.reveal_routes {
        eprintln!("{} {}", output.paint(Style::Error, "you sign:"), Routes::CONSENT);
    }
    if args.semi_honest {
        eprintln!("{} a party that deviates is not found out", output.paint(Style::Error, "semi-honest:"));
    }
}

fn answer_object(
    given: &Given,
    answers: &[String],
    file: &str,
    asking: &Asking<'_>,
    prompts: &[Vec<u32>],
) -> serde_json::Value {
    let parties: Vec<_> = asking.parties.entries().iter().map(|entry| json!(entry)).collect();
    json!({
        "answer": answers.first(),
        "answers": answers,
        "prompt_tokens": prompts.iter().map(Vec::len).sum::<usize>(),
        "completion_tokens": given.answers.iter().map(Vec::len).sum::<usize>(),
        "turns": given.turns,
        "sessions": given.sessions,
        "routes": if asking.reveals_routes { "revealed" } else { "hidden" },
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
