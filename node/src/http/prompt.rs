//! From messages and texts to token ids that fit the model.

use std::sync::Arc;

use axum::http::StatusCode;
use neuro_model::ChatMessage;

use super::Api;
use super::error::ApiError;
use super::parameters::Input;
use crate::completer::{Completer, ModelSummary};

/// Renders and tokenizes `input`, away from the threads that serve connections: a long text takes a while. Every
/// prompt has at least one token, ids of the vocabulary only, and leaves room for one more token in the context.
///
/// # Errors
/// 400 naming `messages` or `prompt`.
pub(super) async fn prepare(api: &Arc<Api>, input: Input, model: &ModelSummary) -> Result<Vec<Vec<u32>>, ApiError> {
    let broken = || ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the prompt could not be prepared");
    let turn = Arc::clone(&api.preparing).acquire_owned().await.map_err(|_| broken())?;
    let (api, model) = (Arc::clone(api), model.clone());
    let prepared = tokio::task::spawn_blocking(move || {
        let prompts = tokenize(api.completer.as_ref(), input, &model);
        // Held until here even when the client left: its text is being tokenized all the same.
        drop(turn);
        prompts
    });
    prepared.await.map_err(|_| broken())?
}

fn tokenize(completer: &dyn Completer, input: Input, model: &ModelSummary) -> Result<Vec<Vec<u32>>, ApiError> {
    let (param, prompts) = match input {
        Input::Messages(messages) => ("messages", vec![encode_chat(completer, &messages)?]),
        Input::Texts(texts) => {
            ("prompt", texts.iter().map(|text| encode(completer, "prompt", text, true)).collect::<Result<_, _>>()?)
        }
        Input::Ids(lists) => ("prompt", lists),
    };
    for prompt in &prompts {
        check(param, prompt, model)?;
    }
    Ok(prompts)
}

fn encode_chat(completer: &dyn Completer, messages: &[ChatMessage]) -> Result<Vec<u32>, ApiError> {
    let Some(template) = completer.chat_template() else {
        let message = "this model has no chat template; ask /v1/completions";
        return Err(ApiError::about("messages", "no_chat_template", message));
    };
    let text = template.render(messages, true).map_err(|error| {
        ApiError::about("messages", "chat_template_refused", format!("the model's chat template refuses them: {error}"))
    })?;
    // The template writes the special tokens itself.
    encode(completer, "messages", &text, false)
}

fn encode(completer: &dyn Completer, param: &str, text: &str, add_special: bool) -> Result<Vec<u32>, ApiError> {
    completer.tokenizer().encode(text, add_special).map_err(|error| ApiError::invalid(param, error.to_string()))
}

fn check(param: &str, prompt: &[u32], model: &ModelSummary) -> Result<(), ApiError> {
    if prompt.is_empty() {
        return Err(ApiError::invalid(param, "has no tokens"));
    }
    if let Some(id) = prompt.iter().find(|&&id| id as usize >= model.vocab_size) {
        let message = format!("token id {id} lies outside the vocabulary of {}", model.vocab_size);
        return Err(ApiError::invalid(param, message));
    }
    if prompt.len() >= model.context {
        let message = format!(
            "this model's context is {} tokens, prompt and answer together; the prompt has {}",
            model.context,
            prompt.len()
        );
        return Err(ApiError::about(param, "context_length_exceeded", message));
    }
    Ok(())
}
