//! What messages and announcements are called, by their numbers.

/// The number of an upload statement.
pub(crate) const UPLOAD: u8 = 5;
/// The number of the message that says what a participant has.
pub(crate) const HAVE: u8 = 8;

/// The name of a participant's message.
pub(crate) fn message_name(bytes: &[u8]) -> &'static str {
    const NAMES: [&str; 9] = ["", "join", "reveal", "shares", "received", "upload", "vote", "answer", "have"];
    bytes.first().and_then(|kind| NAMES.get(usize::from(*kind))).copied().unwrap_or_default()
}

/// The name of an announcement.
pub(crate) fn announcement_name(bytes: &[u8]) -> &'static str {
    const NAMES: [&str; 9] = ["", "cohort", "nonces", "inbox", "sharers", "survivors", "certificate", "end", "restart"];
    bytes.first().and_then(|kind| NAMES.get(usize::from(*kind))).copied().unwrap_or_default()
}
