//! A party whose client does not read.

use neuro_network::smpc::{Link, SessionId};
use neuro_primitives::NodeId;
use tokio::io::duplex;
use tokio::runtime::Handle;

use super::*;

/// For what must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// The party's deadline for its client: it passes soon where anybody waits for the client.
const BRIEF: Duration = Duration::from_millis(50);

const SESSION: SessionId = SessionId([1; 16]);

/// More than a link's queue and the pipe under it take together.
const MESSAGES: u32 = 200;

/// A party that gets all messages of a peer, and has news for a client at each of them.
fn receive_all(peer: Link, client: Link, runtime: &Handle) -> Result<(), ChannelError> {
    let [_, party, other] = PartyId::ALL;
    let mut links = PartyLinks::new(party, [None, None, Some(peer)], runtime.clone(), PATIENCE);
    let client = RefCell::new(ClientLink::new(client, runtime.clone(), BRIEF));
    let expected = Cell::new(0);
    let mut watched = Watched::new(&mut links, &client, &expected);
    for _ in 0..MESSAGES {
        watched.told = Instant::now().checked_sub(EVERY).expect("the machine runs for longer");
        watched.receive(other)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_holds_up_no_party() {
    let nobody = NodeId([0; 32]);
    let (near, far) = duplex(1 << 16);
    let (client, _deaf) = duplex(1);
    let (peer, client) = (Link::over(near, nobody, SESSION), Link::over(client, nobody, SESSION));
    let runtime = Handle::current();
    let party = tokio::task::spawn_blocking(move || receive_all(peer, client, &runtime));
    let mut peer = Link::over(far, nobody, SESSION);
    for _ in 0..MESSAGES {
        peer.send(1, 0, vec![7; 8], PATIENCE).await.unwrap();
    }
    assert_eq!(party.await.unwrap(), Ok(()));
}
