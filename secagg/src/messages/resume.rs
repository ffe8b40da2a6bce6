//! Going on: the next attempt after a lost reveal (section 5), and where a participant stands after a break (section
//! 13).

use neuro_primitives::codec::{Reader, Writer};
use neuro_primitives::{Hash, NodeId};

use super::join::{LAST_ATTEMPT, attempt};
use crate::config::MOST_MEMBERS;
use crate::error::{DocumentError, ascending, within};
use crate::fields;

/// That the round begins anew at the joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restart {
    /// The configuration's hash.
    pub config: Hash,
    /// The attempt that begins: 1 or 2.
    pub attempt: u8,
    /// Who was silent and is left out, ascending.
    pub silent: Vec<NodeId>,
}

impl Restart {
    pub(super) fn write(&self, writer: &mut Writer) {
        writer.raw(&self.config.0);
        writer.u8(self.attempt);
        write_nodes(writer, &self.silent);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DocumentError> {
        let config = fields::hash(reader)?;
        let attempt = reader.u8()?;
        within("the attempt after a restart", attempt.into(), 1, LAST_ATTEMPT.into())?;
        Ok(Self { config, attempt, silent: nodes(reader)? })
    }
}

/// What a participant says when it is connected again: the aggregator sends the current announcement if it has an
/// earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Have {
    /// The configuration's hash.
    pub config: Hash,
    /// 0 to 2.
    pub attempt: u8,
    /// The kind of the newest announcement that it has; 0 if that is the configuration or a restart.
    pub announcement: u8,
}

impl Have {
    pub(super) fn write(&self, writer: &mut Writer) {
        writer.raw(&self.config.0);
        writer.u8(self.attempt);
        writer.u8(self.announcement);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DocumentError> {
        let have = Self { config: fields::hash(reader)?, attempt: attempt(reader)?, announcement: reader.u8()? };
        within("the newest announcement", have.announcement.into(), 0, 7)?;
        Ok(have)
    }
}

/// A counted list of nodes, ascending, at most a cohort.
pub(super) fn nodes(reader: &mut Reader<'_>) -> Result<Vec<NodeId>, DocumentError> {
    let count = reader.count("nodes", MOST_MEMBERS.into(), 32)?;
    let nodes: Vec<_> = fields::hashes(reader, count)?.into_iter().map(|hash| NodeId(hash.0)).collect();
    ascending("nodes", &nodes)?;
    Ok(nodes)
}

pub(super) fn write_nodes(writer: &mut Writer, nodes: &[NodeId]) {
    writer.count(nodes.len());
    nodes.iter().for_each(|node| writer.raw(&node.0));
}
