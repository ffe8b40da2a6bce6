//! File descriptors: what a shell allows a process by default, mostly 1,024, is too few for a thousand connections.

use std::io;

/// Connections that both services admit, a payload's file for each, and as much again for whatever else is open. More is
/// not asked for: the system's bound may be a million, and programs that are started inherit the limit.
pub const WANTED: u64 = 4_096;

/// Lets this process have [`WANTED`] descriptors, or as many as the system allows it. Returns how many it may have.
///
/// # Errors
/// Those of the operating system: then the limit is as it was.
#[cfg(unix)]
pub fn allow() -> io::Result<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(WANTED).min(WANTED);
    match limit.current {
        Some(current) if current < most => {
            setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum })?;
            Ok(most)
        }
        current => Ok(current.unwrap_or(u64::MAX)),
    }
}

/// Other systems have no such limit.
///
/// # Errors
/// Never.
#[cfg(not(unix))]
pub fn allow() -> io::Result<u64> {
    Ok(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn as_many_as_are_wanted_or_as_there_may_be_and_never_fewer() {
        use rustix::process::{Resource, getrlimit};
        let before = getrlimit(Resource::Nofile);
        let allowed = allow().unwrap();
        let after = getrlimit(Resource::Nofile);
        assert_eq!(after.current.unwrap_or(u64::MAX), allowed);
        assert!(allowed >= before.current.unwrap_or(u64::MAX));
        assert!(allowed >= WANTED.min(before.maximum.unwrap_or(u64::MAX)));
        assert_eq!(after.maximum, before.maximum);
    }
}
