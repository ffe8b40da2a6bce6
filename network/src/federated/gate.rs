//! Who is not listed is refused with the headers of its call.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::timeout;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http;
use tower::Service;

use super::FederatedService;
use crate::control::connection::Peer;
use crate::control::limits::CALL_TIME_LIMIT;

/// The one call that is open to nodes that the roster does not list.
const ENROL: &str = "/neuro.federated.v1.Federated/Enrol";

/// The one call that lasts as long as its body; its handler bounds the time between chunks.
const UPLOAD: &str = "/neuro.federated.v1.Federated/Upload";

/// Lets calls through to `calls` whose node the service admits. Nothing of a refused call's body is read.
pub(super) struct Gate<C, S> {
    calls: C,
    service: Arc<S>,
}

impl<C: Clone, S> Clone for Gate<C, S> {
    fn clone(&self) -> Self {
        Self { calls: self.calls.clone(), service: Arc::clone(&self.service) }
    }
}

impl<C, S> Gate<C, S> {
    pub(super) const fn new(calls: C, service: Arc<S>) -> Self {
        Self { calls, service }
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

impl<C, S> Service<http::Request<Body>> for Gate<C, S>
where
    C: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    C::Future: Send + 'static,
    S: FederatedService,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.calls.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Answer {
        let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
        let path = request.uri().path();
        let admitted = path == ENROL || peer.is_some_and(|peer| self.service.admits(peer));
        if !admitted {
            let refusal = Status::permission_denied("the roster does not list this node; enrol with an invitation");
            return Box::pin(std::future::ready(Ok(refusal.into_http())));
        }
        let lasting = path == UPLOAD;
        let call = self.calls.call(request);
        if lasting {
            return Box::pin(call);
        }
        Box::pin(async move {
            let late = |_| Ok(Status::deadline_exceeded("the call took too long").into_http());
            timeout(CALL_TIME_LIMIT, call).await.unwrap_or_else(late)
        })
    }
}
