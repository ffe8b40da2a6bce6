//! Chat templates: Jinja code that came with a model and writes a conversation as one prompt.
//!
//! The environment is that of `transformers`: `trim_blocks` and `lstrip_blocks` on, Python's string and dictionary
//! methods, `raise_exception`, `break` and `continue`, and a `tojson` that writes as Python's `json.dumps` does. The
//! code is not trusted: it has no access to anything but its arguments, and [`FUEL`] bounds what it may compute.
//! Not supported: `strftime_now` (a prompt that depends on the clock cannot be replayed) and `{% generation %}`
//! (marks for training).

mod environment;
mod source;

use minijinja::{Environment, context};
use serde::{Deserialize, Serialize};

use crate::chat_template::environment::Raised;

/// Instructions that one rendering may take. A conversation of a thousand messages takes about 10^5 in the longest
/// templates; this ends an endless loop within a second or two.
pub const FUEL: u64 = 10_000_000;

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What was said.
    pub content: String,
}

/// A chat template, compiled.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

/// What can go wrong with a chat template.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// `tokenizer_config.json` is not what it should be.
    #[error("tokenizer_config.json: {0}")]
    Config(#[from] serde_json::Error),
    /// A file that should be text.
    #[error("chat_template.jinja is not UTF-8 from byte {valid_bytes} on")]
    NotText {
        /// Bytes before the first bad one.
        valid_bytes: usize,
    },
    /// There are several templates and none is called `default`.
    #[error("expected a chat template called \"default\", got {names:?}")]
    NoDefault {
        /// Their names.
        names: Vec<String>,
    },
    /// The template is not Jinja.
    #[error("chat template does not compile: {0}")]
    Syntax(#[source] minijinja::Error),
    /// The template refused the conversation, for the reason that its author gives.
    #[error("chat template refused the messages: {message}")]
    Refused {
        /// What it said.
        message: String,
    },
    /// The template failed.
    #[error("chat template failed: {0}")]
    Render(#[source] minijinja::Error),
}

impl TemplateError {
    /// Never: the same messages fail the same way.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }

    /// Whether other messages may succeed: the caller's request is at fault and not the model.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }
}

impl ChatTemplate {
    /// Compiles a template. `bos` and `eos` are what it sees as `bos_token` and `eos_token`.
    ///
    /// # Errors
    ///
    /// `Syntax`.
    pub fn from_source(source: &str, bos: &str, eos: &str) -> Result<Self, TemplateError> {
        let mut environment = environment::new();
        environment.add_template_owned(NAME, source.to_owned()).map_err(TemplateError::Syntax)?;
        Ok(Self { environment, bos: bos.to_owned(), eos: eos.to_owned() })
    }

    /// The template of a model: the one in `chat_template.jinja` (`template`) if there is such a file, or else the one
    /// in `tokenizer_config.json` (`config`); `None` where neither has one. Begin and end tokens are the latter's.
    ///
    /// # Errors
    ///
    /// A file is malformed, there are several templates and none is the default, or the template does not compile.
    pub fn from_files(template: Option<&[u8]>, config: Option<&[u8]>) -> Result<Option<Self>, TemplateError> {
        let source = source::read(template, config)?;
        source.template.map(|text| Self::from_source(&text, &source.bos, &source.eos)).transpose()
    }

    /// Writes `messages` as one prompt; with `add_generation_prompt`, up to where the assistant's next answer begins.
    ///
    /// # Errors
    ///
    /// `Refused` where the template raises an exception (roles that do not alternate, say), `Render` where it fails
    /// or runs out of [`FUEL`].
    pub fn render(&self, messages: &[ChatMessage], add_generation_prompt: bool) -> Result<String, TemplateError> {
        let nothing = minijinja::Value::from(());
        let context = context! {
            messages, add_generation_prompt,
            bos_token => self.bos, eos_token => self.eos,
            // Templates ask `tools is not none`, which is true of what is undefined.
            tools => nothing, documents => nothing,
        };
        let template = self.environment.get_template(NAME).map_err(TemplateError::Render)?;
        template.render(context).map_err(|error| match Raised::of(&error) {
            Some(message) => TemplateError::Refused { message },
            None => TemplateError::Render(error),
        })
    }
}

/// What the template is called in the library's error messages.
const NAME: &str = "chat_template";

#[cfg(test)]
mod tests;
