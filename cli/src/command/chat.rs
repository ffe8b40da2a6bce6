//! `neuro chat`: a conversation.

use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;

use clap::Args as ClapArgs;
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use super::ask::SamplingArgs;
use crate::answerer::{Answerer, ConnectionArgs};
use crate::api_client::Message;
use crate::args::GlobalArgs;
use crate::exit_code::Outcome;
use crate::failure::{CommandResult, Failure};
use crate::output::{Output, Style};
use crate::runtime;

/// Lines kept for the arrow keys. More makes the file slow to rewrite and nothing easier to find.
const HISTORY_LINES: usize = 1000;

const HELP: &str = "/clear forgets the conversation, /forget also the lines for the arrow keys, /quit leaves (Ctrl-D too); Ctrl-C stops an answer";

/// Options of `neuro chat`.
#[derive(Debug, ClapArgs)]
pub struct ChatArgs {
    /// Say how to answer
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// How to sample.
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// Where to ask.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Talks until the user leaves.
///
/// # Errors
/// When nobody answers at the start or the terminal fails. A failed answer is shown, and the conversation goes on.
pub fn run(global: &GlobalArgs, args: &ChatArgs, output: Output) -> CommandResult {
    let runtime = runtime::tokio()?;
    let answerer = runtime.block_on(async { Answerer::open(global, &args.connection) })?;
    let mut lines = Lines::open(runtime::data_dir(global)?.join("chat_history"))?;
    let mut conversation = Conversation::new(args.system.as_deref());
    if lines.interactive() && !output.json {
        output.line(output.paint(Style::Faint, HELP))?;
    }
    while let Some(line) = lines.next()? {
        match line.trim() {
            "" => {}
            "/quit" | "/exit" => break,
            "/help" => output.line(HELP)?,
            "/clear" => conversation.clear(),
            "/forget" => {
                conversation.clear();
                lines.forget()?;
            }
            question => {
                conversation.ask(question);
                let answered = runtime.block_on(answer(&answerer, &mut conversation, args, output));
                if let Err(failure) = answered {
                    conversation.take_back();
                    eprintln!("{} {failure}", output.paint(Style::Error, "error:"));
                }
            }
        }
    }
    Ok(())
}

/// Prints the answer as it comes and remembers it. Ctrl-C ends the answer; what came is kept.
async fn answer(
    answerer: &Answerer,
    conversation: &mut Conversation,
    args: &ChatArgs,
    output: Output,
) -> CommandResult {
    let request = args.sampling.request(conversation.messages.clone());
    let stop = runtime::stop_token(false)?;
    let mut said = String::new();
    let mut show = |text: &str| {
        said.push_str(text);
        if output.json { Ok(()) } else { output.text(text) }
    };
    let outcome = answerer.chat(&request, &mut show, &stop).await;
    match outcome {
        Ok(_) => {}
        Err(failure) if failure.outcome == Outcome::Interrupted => {}
        Err(failure) => return Err(failure),
    }
    if output.json {
        output.object(&serde_json::json!({"role": "assistant", "content": said}))?;
    } else {
        output.line("")?;
    }
    conversation.answered(said);
    Ok(())
}

/// What was said so far.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Conversation {
    messages: Vec<Message>,
    /// How many messages `/clear` leaves.
    fixed: usize,
}

impl Conversation {
    fn new(system: Option<&str>) -> Self {
        let messages: Vec<Message> = system.map(|text| message("system", text)).into_iter().collect();
        Self { fixed: messages.len(), messages }
    }

    fn ask(&mut self, question: &str) {
        self.messages.push(message("user", question));
    }

    fn answered(&mut self, text: String) {
        self.messages.push(Message { role: "assistant".to_owned(), content: text });
    }

    /// Forgets a question that was not answered, so that it may be asked again.
    fn take_back(&mut self) {
        self.messages.pop();
    }

    fn clear(&mut self) {
        self.messages.truncate(self.fixed);
    }
}

fn message(role: &str, content: &str) -> Message {
    Message { role: role.to_owned(), content: content.to_owned() }
}

/// Where the user's lines come from: an editor with history on a terminal, plain lines from a pipe.
enum Lines {
    Editor { editor: Box<DefaultEditor>, history: PathBuf },
    Pipe(io::Lines<io::StdinLock<'static>>),
}

impl Lines {
    fn open(history: PathBuf) -> Result<Self, Failure> {
        if !io::stdin().is_terminal() {
            return Ok(Self::Pipe(io::stdin().lock().lines()));
        }
        let config = rustyline::Config::builder().max_history_size(HISTORY_LINES)?.auto_add_history(true).build();
        let mut editor = Box::new(DefaultEditor::with_config(config)?);
        // A missing file is the first run.
        let _ = editor.load_history(&history);
        Ok(Self::Editor { editor, history })
    }

    const fn interactive(&self) -> bool {
        matches!(self, Self::Editor { .. })
    }

    /// The next line; `None` at the end of input.
    fn next(&mut self) -> Result<Option<String>, Failure> {
        match self {
            Self::Pipe(lines) => Ok(lines.next().transpose()?),
            Self::Editor { editor, history } => loop {
                match editor.readline("> ") {
                    Ok(line) => {
                        let _ = editor.save_history(history);
                        return Ok(Some(line));
                    }
                    Err(ReadlineError::Interrupted) => eprintln!("(Ctrl-D or /quit leaves)"),
                    Err(ReadlineError::Eof) => return Ok(None),
                    Err(error) => return Err(error.into()),
                }
            },
        }
    }

    /// Clears the lines for the arrow keys, on disk too.
    fn forget(&mut self) -> CommandResult {
        if let Self::Editor { editor, history } = self {
            editor.clear_history()?;
            editor.save_history(history)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clearing_keeps_the_system_message() {
        let mut conversation = Conversation::new(Some("be brief"));
        conversation.ask("one");
        conversation.answered("1".into());
        conversation.ask("two");
        conversation.take_back();
        assert_eq!(conversation.messages.len(), 3);
        conversation.clear();
        assert_eq!(conversation.messages, [message("system", "be brief")]);
    }
}
