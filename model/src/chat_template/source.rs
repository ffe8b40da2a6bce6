//! Where a model keeps its template, and the tokens that it uses.

use serde::Deserialize;

use crate::chat_template::TemplateError;

/// A template's text with what it sees as begin and end tokens; empty where the model names none.
#[derive(Debug, Default)]
pub(super) struct Source {
    pub(super) template: Option<String>,
    pub(super) bos: String,
    pub(super) eos: String,
}

#[derive(Debug, Default, Deserialize)]
struct TokenizerConfig {
    #[serde(default)]
    chat_template: Option<Templates>,
    #[serde(default)]
    bos_token: Option<Token>,
    #[serde(default)]
    eos_token: Option<Token>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Templates {
    One(String),
    Named(Vec<NamedTemplate>),
}

#[derive(Debug, Deserialize)]
struct NamedTemplate {
    name: String,
    template: String,
}

/// Older files describe a token with its settings, newer ones just write it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Token {
    Plain(String),
    Described { content: String },
}

/// Reads `chat_template.jinja` and `tokenizer_config.json`, either of which may be missing.
pub(super) fn read(template: Option<&[u8]>, config: Option<&[u8]>) -> Result<Source, TemplateError> {
    let config: TokenizerConfig = config.map_or_else(|| Ok(TokenizerConfig::default()), serde_json::from_slice)?;
    let template = match template {
        Some(bytes) => Some(text(bytes)?),
        None => config.chat_template.map(default_template).transpose()?,
    };
    Ok(Source { template, bos: token_text(config.bos_token), eos: token_text(config.eos_token) })
}

fn text(bytes: &[u8]) -> Result<String, TemplateError> {
    let not_text = |error: std::str::Utf8Error| TemplateError::NotText { valid_bytes: error.valid_up_to() };
    std::str::from_utf8(bytes).map(str::to_owned).map_err(not_text)
}

fn default_template(templates: Templates) -> Result<String, TemplateError> {
    let named = match templates {
        Templates::One(template) => return Ok(template),
        Templates::Named(named) => named,
    };
    let names = named.iter().map(|template| template.name.clone()).collect();
    let default = named.into_iter().find(|template| template.name == "default");
    default.map(|found| found.template).ok_or(TemplateError::NoDefault { names })
}

fn token_text(token: Option<Token>) -> String {
    match token {
        Some(Token::Plain(content) | Token::Described { content }) => content,
        None => String::new(),
    }
}
