//! `neuro smpc show`: a session's signed transcript, checked and explained.

use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use neuro_node::smpc_role::transcript::{Accounts, Statement, Transcript, contradicted};
use neuro_smpc::computation::Security;
use neuro_smpc::party::PartyId;
use serde_json::json;

use crate::exit_code::Outcome;
use crate::failure::{CommandResult, Failure};
use crate::output::{Output, bytes};

/// Options of `neuro smpc show`.
#[derive(Debug, ClapArgs)]
pub struct ShowArgs {
    /// The transcript; of a session that failed, those of several parties, which are held against each other
    #[arg(value_name = "TRANSCRIPT", required = true, num_args = 1..=4)]
    pub transcripts: Vec<PathBuf>,
}

/// Explains the transcript.
///
/// # Errors
/// A file that cannot be read, or whose signatures and hashes do not hold.
pub fn run(args: &ShowArgs, output: Output) -> CommandResult {
    let Accounts { statements, receipt } = accounts(&args.transcripts)?;
    let Some(first) = statements.first() else {
        return Err(Failure::message(Outcome::Refused, "the transcript holds no statement"));
    };
    let contradicted = contradicted(&statements);
    if output.json {
        let statements: Vec<_> = statements.iter().map(as_json).collect();
        let receipt = receipt.map(|receipt| json!({"client": receipt.client.to_string(), "tokens": receipt.tokens}));
        let contradicted: Vec<_> = contradicted.iter().map(|link| link.map(PartyId::index)).collect();
        return output.object(&json!({"statements": statements, "receipt": receipt, "contradicted": contradicted}));
    }
    explain(first, output)?;
    for statement in &statements {
        let how = statement.failure.as_deref().unwrap_or("done");
        let sent = bytes(statement.bytes);
        let (party, tokens, rounds) = (statement.party, statement.tokens, statement.rounds);
        let seconds = statement.took_ms as f64 / 1e3;
        output
            .line(format!("party {party}    {tokens} tokens, {rounds} rounds, {sent} sent, {seconds:.1} s: {how}"))?;
    }
    for [one, other] in contradicted {
        output.line(format!("guilty     party {one} or {other}: they have signed different things of their link"))?;
    }
    match receipt {
        Some(receipt) => output.line(format!("receipt    {} tokens, signed by the client", receipt.tokens)),
        None => output.line("receipt    none"),
    }
}

/// What the files say. Of one file the links fit as well; several are held against each other for those that do not.
fn accounts(paths: &[PathBuf]) -> Result<Accounts, Failure> {
    let files = paths.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    let accounts = match &files[..] {
        [file] => file.verified(),
        files => Transcript::joined(files).and_then(|joined| joined.accounts()),
    };
    accounts.map_err(|error| Failure::new(Outcome::Refused, error))
}

fn read(path: &Path) -> Result<Transcript, Failure> {
    let unread = |error| Failure::message(Outcome::Usage, format!("cannot read {}: {error}", path.display()));
    let file = std::fs::read(path).map_err(unread)?;
    Transcript::decode(&file).map_err(|error| Failure::new(Outcome::Refused, error))
}

fn explain(statement: &Statement, output: Output) -> CommandResult {
    let terms = &statement.agreement;
    output.line(format!("session    {}", terms.session))?;
    output.line(format!("client     {}", terms.client))?;
    output.line(format!("model      {}", terms.model))?;
    output.line(format!("program    {}", terms.program))?;
    output.line(format!("security   {}", security(terms.security)))?;
    output.line(format!("lengths    {}; routes {}", terms.lengths, terms.routes))
}

const fn security(security: Security) -> &'static str {
    match security {
        Security::Malicious => "malicious: one party that deviates is found out",
        Security::SemiHonest => "semi-honest: a party that deviates is not found out",
    }
}

fn as_json(statement: &Statement) -> serde_json::Value {
    let terms = &statement.agreement;
    json!({
        "session": terms.session.to_string(),
        "agreement": terms.hash().to_string(),
        "client": terms.client.to_string(),
        "model": terms.model.to_string(),
        "program": terms.program.to_string(),
        "party": statement.party.index(),
        "node": terms.parties[statement.party.index()].to_string(),
        "prompts": terms.lengths.prompts,
        "rows": terms.lengths.rows,
        "routes": terms.routes.to_string(),
        "tokens": statement.tokens,
        "rounds": statement.rounds,
        "bytes": statement.bytes,
        "took_ms": statement.took_ms,
        "failure": statement.failure,
    })
}
