//! The transcripts that a party keeps, and the ids that sessions have had.
//!
//! A client chooses its session's id, so an id is taken once: no later session can put its transcript in the place of an
//! earlier one's. Only sessions that all three parties agreed on leave anything.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use neuro_network::smpc::SessionId;

use super::transcript::Transcript;
use crate::os::private_file;

/// A folder of transcripts.
pub(super) struct Archive {
    folder: PathBuf,
    /// Sessions that run: they may leave a transcript yet.
    running: Mutex<HashSet<SessionId>>,
}

/// The place of one session. It is free again when this is dropped, unless a transcript was kept.
pub(super) struct Place {
    archive: Arc<Archive>,
    session: SessionId,
}

impl Archive {
    /// Transcripts in `folder`.
    pub(super) fn at(folder: PathBuf) -> Arc<Self> {
        Arc::new(Self { folder, running: Mutex::default() })
    }

    /// A place for `session`; none where another session has or had its id.
    pub(super) fn take(self: &Arc<Self>, session: SessionId) -> Option<Place> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        // Where it cannot be seen whether there is a file, there may be one.
        let is_free = !self.file(session).try_exists().unwrap_or(true) && running.insert(session);
        is_free.then(|| Place { archive: Arc::clone(self), session })
    }

    fn file(&self, session: SessionId) -> PathBuf {
        self.folder.join(format!("{session}.transcript"))
    }
}

impl Place {
    /// Where the transcript goes.
    pub(super) fn path(&self) -> PathBuf {
        self.archive.file(self.session)
    }

    /// Keeps the session's transcript.
    pub(super) fn keep(&self, transcript: &Transcript) -> io::Result<()> {
        private_file::create_new(&self.path(), &transcript.encode())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.archive.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_session_at_a_time_and_one_transcript() {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::at(folder.path().to_owned());
        let (session, other) = (SessionId([1; 16]), SessionId([2; 16]));
        let transcript = Transcript { statements: Vec::new(), receipt: None };
        let place = archive.take(session).unwrap();
        assert!(archive.take(session).is_none(), "it runs");
        assert!(archive.take(other).is_some(), "it has ended, and left nothing");
        assert!(archive.take(other).is_some());
        place.keep(&transcript).unwrap();
        assert_eq!(place.keep(&transcript).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        drop(place);
        assert!(archive.take(session).is_none(), "its transcript is there");
    }
}
