//! The routes, and what every request passes before it reaches one.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Path, Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use neuro_inference::Account;
use serde_json::{Value, json};

use super::access::Reached;
use super::choices::{Asked, Explainer};
use super::endpoint::Endpoint;
use super::error::ApiError;
use super::parameters::Parameters;
use super::reply::{Reply, model_object};
use super::request_id::{REQUEST_ID, request_id};
use super::{Api, body, choices, prompt, stream};
use crate::completer::{Caller, ModelSummary};

/// What OpenMetrics text calls itself.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A client that sends this header, with any value, is told who computed its answer.
const EXPLAIN: &str = "x-neuro-explain";

/// Names the accepted parameters that have no effect.
const IGNORED: &str = "x-neuro-ignored";

/// All routes.
pub(super) fn router(api: Arc<Api>) -> Router {
    let chat = |State(api): State<Arc<Api>>, request: Request| complete(api, Endpoint::Chat, request);
    let text = |State(api): State<Arc<Api>>, request: Request| complete(api, Endpoint::Text, request);
    Router::new()
        .route(Endpoint::Chat.path(), post(chat))
        .route(Endpoint::Text.path(), post(text))
        .route("/v1/models", get(models))
        .route("/v1/models/{*id}", get(model))
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(Arc::clone(&api), admit))
        .with_state(api)
}

/// Names the request, lets it in or not, and counts it.
async fn admit(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let (method, route) = (method_label(request.method()), route_label(request.uri().path()));
    let mut response = match check(&api, &request) {
        Ok(account) => {
            request.extensions_mut().insert(account);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    };
    api.metrics.answered(method, route, response.status().as_u16());
    tracing::debug!(?id, method, route, status = response.status().as_u16(), "answered");
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// Whose request it is, if it may be answered.
fn check(api: &Api, request: &Request) -> Result<Account, ApiError> {
    let internal = || ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the connection has no address");
    let Reached(reached) = *request.extensions().get::<Reached>().ok_or_else(internal)?;
    api.access.check_origin(request.uri(), request.headers(), reached)?;
    // Load balancers and service managers ask these, and have no key.
    if matches!(request.uri().path(), "/healthz" | "/readyz") {
        return Ok(Account::LOCAL);
    }
    let key = api.access.check_key(request.headers())?;
    tracing::trace!(key, "admitted");
    Ok(key.map_or(Account::LOCAL, Account::named))
}

/// Answers one completion request.
async fn complete(api: Arc<Api>, endpoint: Endpoint, request: Request) -> Result<Response, ApiError> {
    let arrived = Instant::now();
    let account = request.extensions().get::<Account>().cloned().unwrap_or(Account::LOCAL);
    let explaining = request.headers().contains_key(EXPLAIN).then(|| Arc::clone(&api.completer));
    let body = body::read_object(request, &api.limits).await?;
    let parameters = Parameters::parse(endpoint, body)?;
    let model = api.completer.model();
    check_model(&parameters.model, &model)?;
    let prompts = prompt::prepare(&api, parameters.input.clone(), &model).await?;
    let Parameters { priority, twice, .. } = parameters;
    let caller = Caller { endpoint: endpoint.path(), account, priority, twice };
    let jobs = choices::submit(api.completer.as_ref(), &caller, &model, &parameters, &prompts)?;
    let (reply, meter) = (Reply::new(endpoint, &model), api.metrics.meter(arrived, jobs.len()));
    let explainer = Explainer::new(&jobs, explaining);
    let asked = Asked { jobs, prompts: prompts.len(), eos: model.eos, explainer };
    let mut response = match parameters.stream {
        Some(options) => stream::respond(reply, asked, options, meter, &api.limits),
        None => {
            let finished = choices::collect(asked.jobs, &asked.eos, meter).await?;
            let with_logprobs = parameters.top_logprobs.is_some();
            let explanations = asked.explainer.explain_all();
            Json(reply.whole(&finished, asked.prompts, with_logprobs, explanations)).into_response()
        }
    };
    if !parameters.ignored.is_empty()
        && let Ok(names) = HeaderValue::from_str(&parameters.ignored.join(", "))
    {
        response.headers_mut().insert(IGNORED, names);
    }
    Ok(response)
}

fn check_model(asked: &str, served: &ModelSummary) -> Result<(), ApiError> {
    if asked == served.name || asked == served.id {
        return Ok(());
    }
    let message = format!("model {asked:?} is not served here; expected {:?}", served.name);
    let error = ApiError::new(StatusCode::NOT_FOUND, "model_not_found", message);
    Err(ApiError { param: Some("model".to_owned()), ..error })
}

async fn models(State(api): State<Arc<Api>>) -> Json<Value> {
    Json(json!({ "object": "list", "data": [model_object(&api.completer.model())] }))
}

async fn model(State(api): State<Arc<Api>>, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let model = api.completer.model();
    check_model(&id, &model)?;
    Ok(Json(model_object(&model)))
}

async fn ready(State(api): State<Arc<Api>>) -> Result<&'static str, ApiError> {
    api.completer.ready().map(|()| "ready").map_err(|why| ApiError::not_ready(&why))
}

async fn metrics(State(api): State<Arc<Api>>) -> Result<Response, ApiError> {
    let text = api.metrics.text(&api.registry, api.completer.load()).map_err(|_| {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the metrics could not be written")
    })?;
    Ok(([(CONTENT_TYPE, OPENMETRICS)], text).into_response())
}

async fn not_found(request: Request) -> ApiError {
    let message = format!("no such route: {} {}", request.method(), request.uri().path());
    ApiError::new(StatusCode::NOT_FOUND, "unknown_route", message)
}

async fn method_not_allowed(request: Request) -> ApiError {
    let message = format!("{} is not allowed for {}", request.method(), request.uri().path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}

/// The method as a metric's label: a bounded set, whatever clients send.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The route as a metric's label: a bounded set, whatever clients ask for.
fn route_label(path: &str) -> &'static str {
    match path {
        "/v1/chat/completions" => "/v1/chat/completions",
        "/v1/completions" => "/v1/completions",
        "/v1/models" => "/v1/models",
        "/healthz" => "/healthz",
        "/readyz" => "/readyz",
        "/metrics" => "/metrics",
        _ if path.starts_with("/v1/models/") => "/v1/models/{id}",
        _ => "unknown",
    }
}
