//! What the model shall continue: messages, texts or token ids.

use neuro_model::ChatMessage;
use serde_json::{Map, Value};

use super::fields::Fields;
use super::missing;
use crate::http::endpoint::Endpoint;
use crate::http::error::ApiError;

/// A request's prompts, not yet tokenized.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::http) enum Input {
    /// A conversation; at least one message.
    Messages(Vec<ChatMessage>),
    /// Texts; at least one.
    Texts(Vec<String>),
    /// Token ids, a list per prompt; at least one list, none empty.
    Ids(Vec<Vec<u32>>),
}

impl Input {
    pub(super) fn parse(endpoint: Endpoint, fields: &mut Fields) -> Result<Self, ApiError> {
        match endpoint {
            Endpoint::Chat => messages(fields).map(Self::Messages),
            Endpoint::Text => prompt(fields),
        }
    }

    /// How many prompts there are.
    pub(in crate::http) fn prompts(&self) -> usize {
        match self {
            Self::Messages(_) => 1,
            Self::Texts(texts) => texts.len(),
            Self::Ids(lists) => lists.len(),
        }
    }
}

fn messages(fields: &mut Fields) -> Result<Vec<ChatMessage>, ApiError> {
    let list = match fields.take("messages") {
        None => return Err(missing("messages")),
        Some(Value::Array(list)) if !list.is_empty() => list,
        Some(other) => return Err(fields.wrong("messages", "a list of at least one message", &other)),
    };
    list.into_iter().enumerate().map(|(index, value)| message(format!("messages[{index}]"), value)).collect()
}

fn message(path: String, value: Value) -> Result<ChatMessage, ApiError> {
    let mut fields = object(path, value)?;
    let role = match fields.text("role")?.as_deref() {
        // OpenAI's newer name for the same; templates know the old one.
        Some("system" | "developer") => "system",
        Some("user") => "user",
        Some("assistant") => "assistant",
        Some(other) => {
            let message = format!("expected system, developer, user or assistant, got {other:?}");
            return Err(ApiError::invalid(fields.path_of("role"), message));
        }
        None => return Err(missing(&fields.path_of("role"))),
    };
    let content = content(&mut fields)?;
    // A label for people; no template shows it to the model.
    fields.text("name")?;
    // Clients send answers back as they got them, with fields that say that there was nothing.
    for empty in ["refusal", "audio", "function_call", "tool_calls", "annotations"] {
        if fields.take(empty).is_some_and(|value| value.as_array().is_none_or(|list| !list.is_empty())) {
            return Err(ApiError::about(
                fields.path_of(empty),
                "unsupported_parameter",
                "this part of a message is not supported here",
            ));
        }
    }
    fields.finish()?;
    Ok(ChatMessage { role: role.to_owned(), content })
}

/// A string, or text parts, which become lines.
fn content(fields: &mut Fields) -> Result<String, ApiError> {
    match fields.take("content") {
        None => Err(missing(&fields.path_of("content"))),
        Some(Value::String(text)) => Ok(text),
        Some(Value::Array(parts)) => {
            let path = fields.path_of("content");
            let texts = parts.into_iter().enumerate().map(|(index, part)| text_part(format!("{path}[{index}]"), part));
            Ok(texts.collect::<Result<Vec<_>, _>>()?.join("\n"))
        }
        Some(other) => Err(fields.wrong("content", "a string or a list of parts", &other)),
    }
}

fn text_part(path: String, value: Value) -> Result<String, ApiError> {
    let mut fields = object(path, value)?;
    match fields.text("type")?.as_deref() {
        Some("text") => {}
        Some(other) => {
            let message = format!("expected parts of type \"text\", got {other:?}");
            return Err(ApiError::about(fields.path_of("type"), "unsupported_content", message));
        }
        None => return Err(missing(&fields.path_of("type"))),
    }
    let text = fields.text("text")?.ok_or_else(|| missing(&fields.path_of("text")))?;
    fields.finish()?;
    Ok(text)
}

fn object(path: String, value: Value) -> Result<Fields, ApiError> {
    match value {
        Value::Object(map) => Ok(Fields::within(path, map)),
        _ => Err(Fields::within("", Map::new()).wrong(&path, "an object", &value)),
    }
}

/// A string, token ids, or a list of either.
fn prompt(fields: &mut Fields) -> Result<Input, ApiError> {
    let wrong = || {
        ApiError::invalid(
            "prompt",
            "expected a string, a list of strings, a list of token ids, or a list of such lists",
        )
    };
    match fields.take("prompt") {
        None => Err(missing("prompt")),
        Some(Value::String(text)) => Ok(Input::Texts(vec![text])),
        Some(Value::Array(list)) => match list.first() {
            Some(Value::String(_)) => texts(list).map(Input::Texts).ok_or_else(wrong),
            Some(Value::Number(_)) => ids(&list).map(|ids| Input::Ids(vec![ids])).ok_or_else(wrong),
            Some(Value::Array(_)) => id_lists(&list).map(Input::Ids).ok_or_else(wrong),
            _ => Err(wrong()),
        },
        Some(_) => Err(wrong()),
    }
}

fn texts(list: Vec<Value>) -> Option<Vec<String>> {
    let text = |value| if let Value::String(text) = value { Some(text) } else { None };
    list.into_iter().map(text).collect()
}

fn id_lists(list: &[Value]) -> Option<Vec<Vec<u32>>> {
    list.iter().map(|value| value.as_array().filter(|list| !list.is_empty()).and_then(|list| ids(list))).collect()
}

fn ids(list: &[Value]) -> Option<Vec<u32>> {
    list.iter().map(|value| value.as_u64().and_then(|id| u32::try_from(id).ok())).collect()
}
