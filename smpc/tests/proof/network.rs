//! Three threads with a party each, and what a dishonest one does to its messages.

use std::sync::mpsc::{Receiver, Sender, channel};

use neuro_smpc::channel::{Channel, ChannelError, Message, Spent};
use neuro_smpc::party::PartyId;
use neuro_smpc::proof::{Coins, CoinsError};

/// Changes the message of this number before it is sent.
pub type Tamper = Box<dyn FnMut(usize, PartyId, &mut Message) + Send>;

/// One party's links.
pub struct Wire {
    to: [Option<Sender<Message>>; 3],
    from: [Option<Receiver<Message>>; 3],
    sent: usize,
    tamper: Option<Tamper>,
    /// All that came: who sent it and what.
    pub received: Vec<(PartyId, Message)>,
}

impl Channel for Wire {
    fn send(&mut self, to: PartyId, mut message: Message) -> Result<(), ChannelError> {
        if let Some(tamper) = &mut self.tamper {
            tamper(self.sent, to, &mut message);
        }
        self.sent += 1;
        let link = self.to[to.index()].as_ref().ok_or(ChannelError::Lost { peer: to })?;
        link.send(message).map_err(|_| ChannelError::Lost { peer: to })
    }

    fn receive(&mut self, from: PartyId) -> Result<Message, ChannelError> {
        let link = self.from[from.index()].as_ref().ok_or(ChannelError::Lost { peer: from })?;
        let message = link.recv().map_err(|_| ChannelError::Lost { peer: from })?;
        self.received.push((from, message.clone()));
        Ok(message)
    }

    fn spent(&self) -> Spent {
        Spent { messages: self.sent as u64, ..Spent::default() }
    }
}

/// The links of all three.
pub fn wires(mut tampers: [Option<Tamper>; 3]) -> [Wire; 3] {
    let mut wires: [Wire; 3] = std::array::from_fn(|i| Wire {
        to: [None, None, None],
        from: [None, None, None],
        sent: 0,
        tamper: tampers[i].take(),
        received: Vec::new(),
    });
    for (a, b) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)] {
        let (sender, receiver) = channel();
        wires[a].to[b] = Some(sender);
        wires[b].from[a] = Some(receiver);
    }
    wires
}

/// Words of BLAKE3 streams, one seed a component.
pub struct TestCoins {
    pub party: PartyId,
    pub seed: u64,
}

impl Coins for TestCoins {
    fn draw(&mut self, step: u64, own: &mut [u64], next: &mut [u64]) -> Result<(), CoinsError> {
        for (component, words) in [(self.party, own), (self.party.next(), next)] {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&self.seed.to_le_bytes()).update(&step.to_le_bytes()).update(&[component.index() as u8]);
            let mut stream = hasher.finalize_xof();
            for word in words {
                let mut bytes = [0; 8];
                stream.fill(&mut bytes);
                *word = u64::from_le_bytes(bytes);
            }
        }
        Ok(())
    }
}
