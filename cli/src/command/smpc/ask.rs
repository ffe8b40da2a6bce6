//! `neuro smpc ask`: one question, split for three parties.

mod telling;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args as ClapArgs;
use neuro_node::data_dir::DataDir;
use neuro_node::local::{LocalCompleter, LocalOptions};
use neuro_node::os::private_file;
use neuro_node::smpc_role::client::ClientError;
use neuro_node::smpc_role::comparison::Comparison;
use neuro_node::smpc_role::model::ClientModel;
use neuro_node::smpc_role::party::TRANSCRIPTS;
use neuro_node::smpc_role::secret_weights::is_secret;
use neuro_smpc::computation::Security;

use super::extraction::Account;
use super::generation::{Asking, Given, generate};
use super::prompts::Prompts;
use crate::args::GlobalArgs;
use crate::command::ask::SamplingArgs;
use crate::exit_code::Outcome;
use crate::failure::{CommandResult, Failure};
use crate::output::Output;
use crate::runtime;
use telling::{Told, introduce};

/// Tokens of an answer when nobody says how many: each costs seconds.
pub(super) const DEFAULT_MAX_TOKENS: u32 = 32;

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
    /// Run the model here as well, in the open, and say how far from it every layer is on shares: for one's own tests
    #[arg(long, conflicts_with = "trial_head")]
    pub compare: bool,
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
    let key = super::client_key(&data_dir, &parties)?;
    let model = ClientModel::load(&args.model)?;
    let prompts = Prompts::of(&model, &args.texts)?;
    let account = Account::of(&model, &data_dir, (key.node_id(), prompts.count()))?;
    if !output.json {
        introduce(&parties, args, output);
        account.iter().for_each(|account| account.introduce(output));
    }
    let ranges = super::ranges::hash(&data_dir, &args.model, &model, args.ranges.as_deref(), !args.trial_head)?;
    let wanted = args.sampling.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS as usize).min(model.facts().context);
    let max_tokens = account.as_ref().map_or(wanted, |account| account.left_of(wanted));
    let counted = account.as_ref().map(|account| account.reserve(max_tokens)).transpose()?.map(RefCell::new);
    let comparison = args.compare.then(|| comparison(&args.model)).transpose()?;
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
        comparison: comparison.as_ref(),
        counted: counted.as_ref(),
    };
    let given = answered(&asking, &prompts)?;
    let kept = keep(&data_dir, &given);
    let answers = answers(&model, &given)?;
    let told = Told { given: &given, answers: &answers, asking: &asking, prompts: &prompts, account: account.as_ref() };
    told.tell(kept.as_deref().ok(), output)?;
    told.name(&kept?, output);
    Ok(())
}

/// The same model in the open.
fn comparison(model: &Path) -> Result<RefCell<Comparison>, Failure> {
    if is_secret(model) {
        let message = "a private model cannot be compared: nobody here has its weights";
        return Err(Failure::message(Outcome::Refused, message));
    }
    let local = LocalCompleter::load(model, LocalOptions::default(), &mut |_| ())?;
    Ok(RefCell::new(Comparison::with(&local)))
}

/// Asks, unless it is interrupted.
fn answered(asking: &Asking<'_>, prompts: &Prompts) -> Result<Given, Failure> {
    runtime::tokio()?.block_on(async {
        let stop = runtime::stop_token(false)?;
        tokio::select! {
            given = generate(asking, prompts) => given,
            () = stop.cancelled() => Err(Failure::message(Outcome::Interrupted, "interrupted")),
        }
    })
}

fn answers(model: &ClientModel, given: &Given) -> Result<Vec<String>, Failure> {
    let decode = |tokens: &Vec<u32>| Ok(model.tokenizer().decode(tokens, true)?);
    given.answers.iter().map(decode).collect()
}

/// Writes the transcript. Why there is none is said after the answers.
fn keep(data_dir: &DataDir, given: &Given) -> Result<PathBuf, Failure> {
    let none = |reason: String| Failure::message(Outcome::Failed, format!("no complete transcript is kept: {reason}"));
    let transcript = given.transcript.as_ref().map_err(|error| none(error.to_string()))?;
    let path = data_dir.folder(TRANSCRIPTS)?.join(format!("{}.transcript", given.session));
    private_file::replace(&path, &transcript.encode()).map_err(|error| none(error.to_string()))?;
    Ok(path)
}

/// The exit status of a session's failure.
pub(super) fn failure(error: ClientError) -> Failure {
    let outcome = if error.is_unreachable() { Outcome::Unreachable } else { Outcome::Failed };
    Failure::new(outcome, error)
}
