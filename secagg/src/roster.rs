//! The roster: whom the owner lets take part, in which batch (section 3).
//!
//! It is the defence against false identities: the tolerated corrupt members are counted from it, and a participant pins
//! its owner before it ever meets an aggregator. The cores ask the trait [`Registry`], so that a ledger can take the
//! roster's place.

use neuro_primitives::codec::{Reader, Writer};
use neuro_primitives::{Hash, NodeId, UnixMillis};

use crate::error::{DocumentError, ascending, within};
use crate::{fields, tags};

mod signed;

pub use signed::{Pin, RosterRefused, SignedRoster};

/// The format that this build writes.
pub const ROSTER_FORMAT: u8 = 1;
/// The longest name of a task, in bytes.
pub const MOST_TASK_NAME_BYTES: usize = 64;
/// The most members of a roster: batches and members have 16-bit numbers, and 2.2 MB are still read in one piece.
pub const MOST_ROSTERED: usize = 65_536;

/// Who may take part: what the cores ask about identities.
pub trait Registry {
    /// The model owner.
    fn owner(&self) -> NodeId;
    /// The node that may run rounds.
    fn aggregator(&self) -> NodeId;
    /// The task that the members take part in, [`task_id`].
    fn task(&self) -> Hash;
    /// The batch of `member`, none if it is not listed.
    fn batch_of(&self, member: NodeId) -> Option<u16>;
    /// `N`: how many members the given batches (ascending) list.
    fn rostered(&self, batches: &[u16]) -> u32;
    /// The version and the hash of the content, which a configuration names.
    fn version(&self) -> (u64, Hash);
}

/// The task `name` of `owner`: `H(neuro/fl/roster/1; owner ‖ H(name))`.
#[must_use]
pub fn task_id(owner: NodeId, name: &str) -> Hash {
    tags::TASK_HASH.hash(&[&owner.0, &Hash::of(name.as_bytes()).0])
}

/// One line of the roster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RosterMember {
    /// The node.
    pub node: NodeId,
    /// Its batch: rounds take whole batches.
    pub batch: u16,
}

/// What the owner writes down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RosterFields {
    /// The task's name: 1 to 64 bytes of printable ASCII.
    pub task_name: String,
    /// The owner, who signs.
    pub owner: NodeId,
    /// The node that may run rounds.
    pub aggregator: NodeId,
    /// From 1; rises with every change.
    pub version: u64,
    /// When it was written.
    pub issued: UnixMillis,
    /// From when on it is refused; after `issued`.
    pub expires: UnixMillis,
    /// Ascending by node id, at most [`MOST_ROSTERED`].
    pub members: Vec<RosterMember>,
}

/// A roster that keeps every rule but may be anyone's; one that came from outside passed [`SignedRoster::check`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    fields: RosterFields,
    hash: Hash,
}

impl Roster {
    /// A roster of these fields.
    ///
    /// # Errors
    /// When a field is outside its bounds, or when members are not strictly ascending.
    pub fn new(fields: RosterFields) -> Result<Self, DocumentError> {
        fields::check_name("bytes of the task's name", &fields.task_name, MOST_TASK_NAME_BYTES)?;
        within("the roster's version", fields.version, 1, u64::MAX)?;
        within("the roster's expiry", fields.expires.0, fields.issued.0.saturating_add(1), u64::MAX)?;
        within("members of the roster", fields.members.len() as u64, 0, MOST_ROSTERED as u64)?;
        ascending("members of the roster", fields.members.iter().map(|member| member.node))?;
        let hash = Hash::of(&write(&fields));
        Ok(Self { fields, hash })
    }

    /// What the owner wrote down.
    #[must_use]
    pub const fn fields(&self) -> &RosterFields {
        &self.fields
    }

    /// BLAKE3 of the unsigned bytes.
    #[must_use]
    pub const fn hash(&self) -> Hash {
        self.hash
    }

    /// The unsigned bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        write(&self.fields)
    }
}

impl Registry for Roster {
    fn owner(&self) -> NodeId {
        self.fields.owner
    }

    fn aggregator(&self) -> NodeId {
        self.fields.aggregator
    }

    fn task(&self) -> Hash {
        task_id(self.fields.owner, &self.fields.task_name)
    }

    fn batch_of(&self, member: NodeId) -> Option<u16> {
        let members = &self.fields.members;
        members.binary_search_by_key(&member, |listed| listed.node).ok().map(|at| members[at].batch)
    }

    fn rostered(&self, batches: &[u16]) -> u32 {
        let chosen = |member: &&RosterMember| batches.binary_search(&member.batch).is_ok();
        // At most 65,536.
        self.fields.members.iter().filter(chosen).count() as u32
    }

    fn version(&self) -> (u64, Hash) {
        (self.fields.version, self.hash)
    }
}

fn write(fields: &RosterFields) -> Vec<u8> {
    let mut writer = Writer::with_capacity(34 * fields.members.len() + 256);
    writer.u8(ROSTER_FORMAT);
    writer.text(&fields.task_name);
    writer.raw(&fields.owner.0);
    writer.raw(&fields.aggregator.0);
    writer.u64(fields.version);
    writer.u64(fields.issued.0);
    writer.u64(fields.expires.0);
    writer.count(fields.members.len());
    for member in &fields.members {
        writer.raw(&member.node.0);
        writer.u16(member.batch);
    }
    writer.finish()
}

fn read(reader: &mut Reader<'_>) -> Result<RosterFields, DocumentError> {
    fields::format(reader, "a roster", ROSTER_FORMAT)?;
    Ok(RosterFields {
        task_name: reader.text("bytes of the task's name", MOST_TASK_NAME_BYTES)?.to_owned(),
        owner: fields::node(reader)?,
        aggregator: fields::node(reader)?,
        version: reader.u64()?,
        issued: UnixMillis(reader.u64()?),
        expires: UnixMillis(reader.u64()?),
        members: (0..reader.count("members of the roster", MOST_ROSTERED, 34)?)
            .map(|_| Ok(RosterMember { node: fields::node(reader)?, batch: reader.u16()? }))
            .collect::<Result<_, DocumentError>>()?,
    })
}

#[cfg(test)]
mod tests;
