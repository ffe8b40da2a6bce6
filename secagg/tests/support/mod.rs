//! A driver for both state machines in one process: it carries vectors, delivers messages, and lets a test lose, change
//! and repeat them. Time passes only when nobody has anything to say.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod forge;
pub mod person;
pub mod plan;
pub mod server;

use std::collections::VecDeque;
use std::sync::Arc;

use neuro_primitives::NodeId;
use neuro_primitives::{NodeKey, Untrusted};
use neuro_secagg::aggregator::{Evidence, Input};
use neuro_secagg::config::SignedConfig;
use neuro_secagg::messages::{Announcement, EndReason, Message, Shape};
use neuro_secagg::roster::Roster;

pub use person::Person;
pub use plan::Plan;
pub use server::Server;

/// What is on its way.
#[derive(Debug, Clone)]
pub enum Mail {
    ToServer { from: NodeId, bytes: Vec<u8> },
    Payload { from: NodeId },
    Config { to: NodeId },
    ToPerson { to: NodeId, bytes: Vec<u8> },
}

/// What a test does to messages on their way: one goes in, any number come out.
pub type Meddle<'a> = Box<dyn FnMut(NodeId, Vec<u8>) -> Vec<Vec<u8>> + 'a>;

/// A task with one round, its aggregator and its members.
pub struct World<'a> {
    pub roster: Arc<Roster>,
    pub config: SignedConfig,
    pub server: Server,
    /// By node id, so the place of a person is its number in a cohort of all.
    pub people: Vec<Person>,
    pub queue: VecDeque<Mail>,
    /// Applied to messages of members.
    pub up: Meddle<'a>,
    /// Applied to announcements.
    pub down: Meddle<'a>,
    /// Everybody starts again from disk before each input.
    pub crashes: bool,
}

impl<'a> World<'a> {
    pub fn new(plan: &Plan) -> Self {
        let (roster, keys) = plan.roster();
        let config = plan.config(&roster).sign(&plan.aggregator_key());
        let people = keys.into_iter().enumerate().map(|(at, key)| Person::new(plan, at, key)).collect();
        Self {
            server: Server::new(config.clone(), roster.clone(), plan.aggregator_key(), plan.private),
            roster,
            config,
            people,
            queue: VecDeque::new(),
            up: Box::new(|_, bytes| vec![bytes]),
            down: Box::new(|_, bytes| vec![bytes]),
            crashes: false,
        }
    }

    pub fn id(&self, at: usize) -> NodeId {
        self.people[at].id()
    }

    pub fn ids(&self) -> Vec<NodeId> {
        self.people.iter().map(Person::id).collect()
    }

    /// Runs the round from its start to its end.
    pub fn run(&mut self) -> EndReason {
        self.start();
        self.go_on()
    }

    /// Begins the round with everybody connected; nothing is delivered yet.
    pub fn start(&mut self) {
        for id in self.ids() {
            self.server_input(Input::Connected(id));
        }
        self.server_input(Input::Start);
    }

    /// Delivers until the round has ended and nothing is on its way.
    pub fn go_on(&mut self) -> EndReason {
        for _ in 0..1_000_000 {
            match self.queue.pop_front() {
                Some(mail) => self.deliver(mail),
                None if self.server.end.is_some() => break,
                None => self.wait(),
            }
        }
        self.server.end.clone().expect("the round ends")
    }

    /// Delivers until nothing is on its way; no time passes.
    pub fn settle(&mut self) {
        while let Some(mail) = self.queue.pop_front() {
            self.deliver(mail);
        }
    }

    /// Time passes until the aggregator asked to be woken.
    pub fn wait(&mut self) {
        self.server.sleep();
        self.server_input(Input::Tick);
    }

    pub fn server_input(&mut self, input: Input) {
        // Once for each entry of the journal, else the repeated announcements would never end.
        if self.crashes && self.server.crashed_at != self.server.journal.len() {
            let mail = self.server.crash();
            self.post_down(mail);
        }
        let mail = self.server.step(input);
        self.post_down(mail);
    }

    pub fn deliver(&mut self, mail: Mail) {
        match mail {
            Mail::ToServer { from, bytes } => self.server_input(Input::Message { from, bytes }),
            Mail::Payload { from } => {
                // None once the member's part is over.
                let payload = self.person(from).payload.clone();
                if let Some(input) = payload.and_then(|payload| self.server.receive(from, payload)) {
                    self.server_input(input);
                }
            }
            Mail::Config { to } => {
                let config = Untrusted::new(self.config.clone());
                let registry = self.roster.clone();
                let mail = self.person(to).join(config, registry);
                self.post_up(mail);
            }
            Mail::ToPerson { to, bytes } => {
                let (crashes, registry) = (self.crashes, self.roster.clone());
                let person = self.person(to);
                let mut mail =
                    if crashes && !person.seen.contains(&bytes) { person.crash(registry) } else { Vec::new() };
                person.seen.insert(bytes.clone());
                mail.extend(person.receive(bytes));
                self.post_up(mail);
            }
        }
    }

    pub fn person(&mut self, id: NodeId) -> &mut Person {
        let at = self.people.iter().position(|person| person.id() == id).expect("a member");
        &mut self.people[at]
    }

    pub fn post_up(&mut self, mail: Vec<Mail>) {
        for mail in mail {
            match mail {
                Mail::ToServer { from, bytes } => {
                    let changed = (self.up)(from, bytes);
                    self.queue.extend(changed.into_iter().map(|bytes| Mail::ToServer { from, bytes }));
                }
                mail => self.queue.push_back(mail),
            }
        }
    }

    pub fn post_down(&mut self, mail: Vec<Mail>) {
        for mail in mail {
            match mail {
                Mail::ToPerson { to, bytes } => {
                    let changed = (self.down)(to, bytes);
                    self.queue.extend(changed.into_iter().map(|bytes| Mail::ToPerson { to, bytes }));
                }
                mail => self.queue.push_back(mail),
            }
        }
    }

    /// Members without those that `of` names.
    pub fn others(&self, of: &[NodeId]) -> Vec<NodeId> {
        self.ids().into_iter().filter(|id| !of.contains(id)).collect()
    }

    /// The plain sum of the quantised vectors of these members.
    pub fn plain_sum(&self, of: &[NodeId]) -> Vec<i64> {
        let mut sum = vec![0_i64; self.people[0].vector.len()];
        for person in self.people.iter().filter(|person| of.contains(&person.id())) {
            sum.iter_mut().zip(&person.vector).for_each(|(sum, value)| *sum += value);
        }
        sum
    }

    /// What each member has sent, by kind.
    pub fn kinds_sent(&self, by: NodeId) -> Vec<u8> {
        let person = self.people.iter().find(|person| person.id() == by).expect("a member");
        person.sent.iter().map(|bytes| bytes[0]).collect()
    }

    pub fn evidence(&self) -> &[Evidence] {
        &self.server.blamed
    }
}

/// Kinds of messages.
pub const JOIN: u8 = 1;
pub const REVEAL: u8 = 2;
pub const SHARES: u8 = 3;
pub const RECEIVED: u8 = 4;
pub const UPLOAD: u8 = 5;
pub const VOTE: u8 = 6;
pub const ANSWER: u8 = 7;
pub const HAVE: u8 = 8;

/// Loses the messages of `kind` and all later ones of the given members.
pub fn silent_from(kind: u8, who: Vec<NodeId>) -> Meddle<'static> {
    Box::new(move |from, bytes| {
        let gone = bytes[0] >= kind && bytes[0] != HAVE && who.contains(&from);
        if gone { Vec::new() } else { vec![bytes] }
    })
}

/// The announcement in `bytes`, which `aggregator` signed.
pub fn opened(bytes: &[u8], aggregator: &NodeKey, shape: Option<&Shape>) -> Announcement {
    Announcement::open(bytes, aggregator.node_id(), shape).expect("an announcement")
}

/// The message in `bytes`.
pub fn message(bytes: &[u8], shape: Option<&Shape>) -> Message {
    Message::decode(bytes, shape).expect("a message")
}
