//! One connection's part: negotiates streams that either side opens.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use libp2p::Stream;
use libp2p::core::upgrade::{InboundUpgrade, ReadyUpgrade, UpgradeInfo};
use libp2p::swarm::handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{ConnectionHandler, ConnectionHandlerEvent, StreamProtocol, StreamUpgradeError, SubstreamProtocol};

use super::super::StreamKind;
use super::super::limits::{MAX_INBOUND_STREAMS_PER_CONNECTION, STREAM_OPEN_TIME_LIMIT};
use super::super::stream::{Activity, PeerStream};
use super::{OpenFailure, OpenReply, OpenRequest};

/// Accepts a stream of either of our protocols.
#[derive(Debug)]
pub(in super::super) struct AcceptStream;

impl UpgradeInfo for AcceptStream {
    type Info = StreamProtocol;
    type InfoIter = std::vec::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        StreamKind::ALL.map(StreamKind::protocol).to_vec().into_iter()
    }
}

impl InboundUpgrade<Stream> for AcceptStream {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_inbound(self, stream: Stream, protocol: Self::Info) -> Self::Future {
        ready(Ok((stream, protocol)))
    }
}

/// The handler's state: what is to be opened, what was accepted, and how many accepted streams are still alive.
#[derive(Debug)]
pub(in super::super) struct StreamHandler {
    activity: Arc<Activity>,
    requested: VecDeque<OpenRequest>,
    accepted: VecDeque<(StreamKind, PeerStream)>,
    /// One reference here and one in each accepted stream that is alive.
    shares: Arc<()>,
}

impl StreamHandler {
    pub(super) fn new(activity: Arc<Activity>) -> Self {
        Self { activity, requested: VecDeque::new(), accepted: VecDeque::new(), shares: Arc::new(()) }
    }

    fn accept(&mut self, stream: Stream, protocol: &StreamProtocol) {
        let Some(kind) = StreamKind::ALL.into_iter().find(|kind| kind.protocol() == *protocol) else { return };
        if Arc::strong_count(&self.shares) > MAX_INBOUND_STREAMS_PER_CONNECTION {
            tracing::debug!(%protocol, "a peer opened too many streams; this one is reset");
            return;
        }
        let share = Some(Arc::clone(&self.shares));
        self.accepted.push_back((kind, PeerStream::new(stream, Arc::clone(&self.activity), share)));
    }

    fn opened(&self, stream: Stream, reply: OpenReply) {
        // The one who asked may have stopped waiting; then the stream is reset here.
        let _ = reply.send(Ok(PeerStream::new(stream, Arc::clone(&self.activity), None)));
    }
}

impl ConnectionHandler for StreamHandler {
    type FromBehaviour = OpenRequest;
    type ToBehaviour = (StreamKind, PeerStream);
    type InboundProtocol = AcceptStream;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = OpenReply;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(AcceptStream, ()).with_timeout(STREAM_OPEN_TIME_LIMIT)
    }

    fn on_behaviour_event(&mut self, request: OpenRequest) {
        self.requested.push_back(request);
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Self::OutboundOpenInfo, Self::ToBehaviour>> {
        if let Some(accepted) = self.accepted.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(accepted));
        }
        let Some(OpenRequest { kind, reply }) = self.requested.pop_front() else { return Poll::Pending };
        let upgrade = ReadyUpgrade::new(kind.protocol());
        let protocol = SubstreamProtocol::new(upgrade, reply).with_timeout(STREAM_OPEN_TIME_LIMIT);
        Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol })
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<
            Self::InboundProtocol,
            Self::OutboundProtocol,
            Self::InboundOpenInfo,
            Self::OutboundOpenInfo,
        >,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (stream, protocol), ..
            }) => {
                self.accept(stream, &protocol);
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol: stream, info: reply }) => {
                self.opened(stream, reply);
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info: reply, error }) => {
                let _ = reply.send(Err(failure(error)));
            }
            _ => {}
        }
    }
}

fn failure(error: StreamUpgradeError<Infallible>) -> OpenFailure {
    match error {
        StreamUpgradeError::NegotiationFailed => OpenFailure::Unsupported,
        StreamUpgradeError::Timeout => OpenFailure::Io(io::ErrorKind::TimedOut.into()),
        StreamUpgradeError::Io(error) => OpenFailure::Io(error),
        StreamUpgradeError::Apply(never) => match never {},
    }
}
