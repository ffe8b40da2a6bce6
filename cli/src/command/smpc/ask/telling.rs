//! What `neuro smpc ask` says: who computes and what that does not protect against, then what came of it.

use std::path::Path;

use neuro_node::smpc_role::agreement::Routes;
use neuro_node::smpc_role::comparison::{Difference, Found};
use neuro_node::smpc_role::parties::Parties;
use neuro_smpc::computation::Security;
use serde_json::{Value, json};

use super::AskArgs;
use crate::command::smpc::extraction::Account;
use crate::command::smpc::generation::{Asking, Given};
use crate::command::smpc::prompts::Prompts;
use crate::failure::CommandResult;
use crate::output::{Output, Style, bytes};

/// What three parties cannot help.
const COLLUSION: &str = "any two of them together could read the question and the answer; one alone cannot";

/// What is not hidden from the parties.
const LENGTHS: &str = "each of them learns how long the answer is, and the question roughly: 16, 32, 64 … tokens";

/// Says who will compute, and what three parties do not protect against.
pub(super) fn introduce(parties: &Parties, args: &AskArgs, output: Output) {
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

/// An answer and all that is told with it.
pub(super) struct Told<'a> {
    pub given: &'a Given,
    /// As text, in the order of the prompts.
    pub answers: &'a [String],
    pub asking: &'a Asking<'a>,
    pub prompts: &'a Prompts,
    /// With a private model's owner.
    pub account: Option<&'a Account<'a>>,
}

impl Told<'_> {
    /// Prints the answers and what they took; where the transcript is, if one is kept, belongs to what programs read.
    pub(super) fn tell(&self, transcript: Option<&Path>, output: Output) -> CommandResult {
        if output.json {
            return output.object(&self.object(transcript));
        }
        self.answers.iter().try_for_each(|answer| output.line(answer))?;
        let cost = self.given.cost;
        let tokens: usize = self.given.answers.iter().map(Vec::len).sum();
        eprintln!("\n{tokens} tokens, {} rounds, {} between the parties", cost.rounds, bytes(cost.bytes));
        if let Some(comparison) = self.asking.comparison {
            show_comparison(comparison.borrow().found());
        }
        Ok(())
    }

    /// Names the transcript, for people.
    pub(super) fn name(&self, transcript: &Path, output: Output) {
        if !output.json {
            eprintln!("transcript {}", output.paint(Style::Copy, &transcript.display().to_string()));
        }
    }

    fn object(&self, transcript: Option<&Path>) -> Value {
        let Self { given, asking, .. } = self;
        let parties: Vec<_> = asking.parties.entries().iter().map(|entry| json!(entry)).collect();
        let mut object = json!({
            "answer": self.answers.first(),
            "answers": self.answers,
            "prompt_tokens": self.prompts.tokens().iter().map(Vec::len).sum::<usize>(),
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
            "transcript": transcript.map(|path| path.display().to_string()),
        });
        if let Some(account) = self.account {
            object["secret_weights"] = account.object();
        }
        if let Some(comparison) = asking.comparison {
            object["comparison"] = comparison_object(comparison.borrow().found());
        }
        object
    }
}

/// Errors of every layer, and of how many tokens the likeliest is the same.
fn show_comparison(found: &Found) {
    eprintln!("\n{:<8}  {:>13}  {:>13}  {:>9}", "layer", "largest error", "mean error", "relative");
    let row = |name: &str, difference: &Difference| {
        let (largest, mean, relative) = (difference.largest, difference.mean(), difference.relative());
        eprintln!("{name:<8}  {largest:>13.2e}  {mean:>13.2e}  {relative:>9.2e}");
    };
    found.layers.iter().enumerate().for_each(|(number, layer)| row(&number.to_string(), layer));
    row("logits", &found.logits);
    eprintln!("{} of {} next tokens are those in the open", found.same, found.tokens);
}

fn comparison_object(found: &Found) -> Value {
    let difference = |difference: &Difference| {
        let Difference { largest, .. } = difference;
        json!({"largest_error": largest, "mean_error": difference.mean(), "relative_error": difference.relative()})
    };
    json!({
        "layers": found.layers.iter().map(difference).collect::<Vec<_>>(),
        "logits": difference(&found.logits),
        "tokens": found.tokens,
        "same_next_token": found.same,
    })
}
