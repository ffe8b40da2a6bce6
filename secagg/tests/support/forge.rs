//! What a lying aggregator makes: it has its own key, everything that was announced and sent, and here even everybody
//! else's keys.

use neuro_primitives::{Hash, NodeId};
use neuro_secagg::identity::{Bitmap, Member};
use neuro_secagg::messages::{
    Announcement, Certificate, Inbox, Message, Shape, ShownUpload, Survivors, Upload, Vote, survivors_hash,
};

use super::{Plan, UPLOAD, World};

impl World<'_> {
    /// Runs until everybody has uploaded and nobody was shown a set of survivors.
    pub fn until_uploaded(&mut self) {
        self.down = Box::new(|_, bytes| if bytes[0] >= 5 { Vec::new() } else { vec![bytes] });
        self.start();
        self.settle();
        self.down = Box::new(|_, bytes| vec![bytes]);
    }

    /// `R` and `V`, as the upload statement of `by` names them.
    pub fn cohort_and_sharers(&self, by: usize) -> (Hash, Hash) {
        let statement = self.upload(by).statement;
        (statement.cohort, statement.sharers)
    }

    /// The upload statement that a member sent.
    pub fn upload(&self, by: usize) -> Upload {
        let sent = self.people[by].sent.iter().find(|bytes| bytes[0] == UPLOAD).expect("it uploaded");
        match Message::decode(sent, None).expect("a message") {
            Message::Upload(upload) => upload,
            _ => unreachable!("kind 5"),
        }
    }

    pub fn sign(&self, announcement: &Announcement) -> Vec<u8> {
        announcement.sign(&self.server.key)
    }

    /// A set of survivors as `to` should see it, in a complete graph.
    pub fn survivors(&self, to: usize, set: &Bitmap) -> Vec<u8> {
        let (cohort, sharers) = self.cohort_and_sharers(to);
        let shown = |of: Member| {
            let upload = self.upload(of.index());
            ShownUpload { payload: upload.statement.payload, signature: upload.signature }
        };
        let neighbours = set.iter().filter(|of| of.index() != to);
        let uploads = neighbours.map(shown).collect();
        self.sign(&Announcement::Survivors(Survivors { cohort, sharers, survivors: set.clone(), uploads }))
    }

    /// A certificate for `set` by the first q of its members, whose keys are used without asking them.
    pub fn certificate(&self, to: usize, set: &Bitmap, shape: &Shape) -> Vec<u8> {
        let (cohort, sharers) = self.cohort_and_sharers(to);
        let survivors = survivors_hash(&cohort, &sharers, set);
        let vote = |of: Member| (of, Vote::sign(survivors, &self.people[of.index()].key).signature);
        let votes = set.iter().take(shape.q.into()).map(vote).collect();
        self.sign(&Announcement::Certificate(Certificate { survivors, votes }))
    }

    /// Shows an announcement to a member; what it sends is lost, but noted.
    pub fn show(&mut self, to: usize, bytes: Vec<u8>) {
        let _ = self.people[to].receive(bytes);
    }

    /// Messages of one kind that a member sent, each once.
    pub fn sent(&self, by: usize, kind: u8) -> Vec<Vec<u8>> {
        let mut sent: Vec<_> = self.people[by].sent.iter().filter(|bytes| bytes[0] == kind).cloned().collect();
        sent.sort();
        sent.dedup();
        sent
    }

    /// How many members sent a message of this kind.
    pub fn senders(&self, kind: u8) -> usize {
        (0..self.people.len()).filter(|&by| !self.sent(by, kind).is_empty()).count()
    }

    /// The number of a node.
    pub fn at(&self, id: NodeId) -> usize {
        self.people.iter().position(|person| person.id() == id).expect("a member")
    }
}

/// The inbox of `victim` goes through `change` and is signed again.
pub fn change_inbox(
    plan: &Plan,
    victim: NodeId,
    mut change: impl FnMut(&mut Inbox) + 'static,
) -> super::Meddle<'static> {
    let (key, shape) = (plan.aggregator_key(), plan.shape());
    Box::new(move |to, bytes| {
        if bytes[0] != 3 || to != victim {
            return vec![bytes];
        }
        let Announcement::Inbox(mut inbox) = super::opened(&bytes, &key, Some(&shape)) else { unreachable!("kind 3") };
        change(&mut inbox);
        vec![Announcement::Inbox(inbox).sign(&key)]
    })
}

/// Every announcement of a cohort goes through `change` and is signed again.
pub fn change_cohort(
    key: neuro_primitives::NodeKey,
    mut change: impl FnMut(NodeId, &mut neuro_secagg::messages::Cohort) + 'static,
) -> super::Meddle<'static> {
    Box::new(move |to, bytes| {
        if bytes[0] != 1 {
            return vec![bytes];
        }
        let Announcement::Cohort(mut cohort) = super::opened(&bytes, &key, None) else { unreachable!("kind 1") };
        change(to, &mut cohort);
        vec![Announcement::Cohort(cohort).sign(&key)]
    })
}
