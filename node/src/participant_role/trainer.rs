//! The trainer: a local command that turns global weights into an update.
//!
//! It runs in a folder of its own, in a process group of its own, with bounded time, memory and output, and without the
//! program's own environment variables. What it is told lies in files of that folder; what it answers is a file and the
//! last line of its standard output. The command is the user's: nothing that comes over the network chooses it.
//!
//! It does not outlive the participant, not even one that is killed without a chance to say a word: a watcher in its
//! process group reads a pipe whose other end the participant holds, and kills the group when that end is closed.

mod output;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use output::read;

/// Bytes that a trainer may write to standard output and standard error together. A progress bar that is drawn anew a
/// hundred times a second for an hour writes 36 MB.
pub const MAX_OUTPUT_BYTES: u64 = 64 << 20;

/// A trainer: the program and its arguments, all typed by the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainerCommand {
    /// The program: a path, or a name that PATH knows.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

/// What one run may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrainerLimits {
    /// Time until the answer.
    pub time: Duration,
    /// Address space in bytes; none: as much as the system gives.
    pub memory_bytes: Option<u64>,
}

/// Why there is no update. The participant's part in the round ends; nothing has been masked.
#[derive(Debug, thiserror::Error)]
pub enum TrainerError {
    /// The command cannot be started.
    #[error("cannot start the trainer {program}: {source}")]
    Start {
        /// The program.
        program: String,
        /// The operating system's answer.
        source: io::Error,
    },
    /// It ended with a status other than zero.
    #[error("the trainer ended with {status}: {said}")]
    Failed {
        /// How it ended.
        status: ExitStatus,
        /// The end of what it wrote to standard error.
        said: String,
    },
    /// It took too long and was killed.
    #[error("the trainer gave no answer within {} s and was killed", limit.as_secs())]
    Late {
        /// The time that it had.
        limit: Duration,
    },
    /// It wrote too much and was killed.
    #[error("expected at most {limit} bytes of the trainer's output, got more; it was killed")]
    Babbled {
        /// The bound.
        limit: u64,
    },
    /// Its pipes or its end could not be watched.
    #[error("the trainer cannot be watched: {0}")]
    Io(#[from] io::Error),
    /// The user stopped the participant.
    #[error("the trainer was stopped")]
    Stopped,
}

/// Runs `command` in `folder` and returns its last line, which nobody has read yet. However this ends, no process of its
/// group is left.
///
/// # Errors
/// See [`TrainerError`]; all of them end this participant's part and nobody else's.
pub async fn run(
    command: &TrainerCommand,
    folder: &Path,
    limits: TrainerLimits,
    stop: &CancellationToken,
) -> Result<String, TrainerError> {
    let failed = |source| TrainerError::Start { program: command.program.display().to_string(), source };
    let mut child = prepared(command, folder, limits).spawn().map_err(failed)?;
    let group = Group::of(&child);
    // Held, and never written to: `wait` would close it and have the trainer killed.
    let lifeline = child.stdin.take();
    let outcome = tokio::select! {
        outcome = timeout(limits.time, watched(&mut child)) => {
            outcome.unwrap_or(Err(TrainerError::Late { limit: limits.time }))
        }
        () = stop.cancelled() => Err(TrainerError::Stopped),
    };
    drop((group, lifeline));
    let _ = child.wait().await;
    outcome
}

/// Reads both pipes to their end, then the exit status. Too much on one of them ends this at once, whatever the other
/// does.
async fn watched(child: &mut Child) -> Result<String, TrainerError> {
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(TrainerError::Io(io::ErrorKind::BrokenPipe.into()));
    };
    let (said, erred) = tokio::try_join!(read(stdout), read(stderr))?;
    let status = child.wait().await?;
    if !status.success() {
        return Err(TrainerError::Failed { status, said: erred.tail() });
    }
    Ok(said.last_line())
}

fn prepared(command: &TrainerCommand, folder: &Path, limits: TrainerLimits) -> Command {
    let mut prepared = bounded(command, limits);
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_ours(name)) {
        prepared.env_remove(name);
    }
    prepared.current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::piped());
    prepared.kill_on_drop(true);
    prepared
}

/// Whether a variable is the program's own: keys, tickets and folders are none of the trainer's business.
fn is_ours(name: &std::ffi::OsStr) -> bool {
    name.to_string_lossy().starts_with("NEURO_")
}

/// A shell that starts the watcher, lowers its own limits and then becomes the command. Standard input, which is the
/// lifeline, goes to the watcher alone; the watcher is nobody's child, so that a trainer which waits for its children does
/// not wait for it. Some systems do not bound address space; there the rest still holds.
#[cfg(unix)]
const SUPERVISED: &str = r#"exec 3<&0 </dev/null
( ( read -r _ <&3; kill -KILL 0 ) >/dev/null 2>&1 & ) || exit 126
ulimit -c 0; ulimit -t "$1"; [ "$2" = 0 ] || ulimit -v "$2" 2>/dev/null
shift 2; exec "$@" 3<&-"#;

#[cfg(unix)]
fn bounded(command: &TrainerCommand, limits: TrainerLimits) -> Command {
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let cpu_seconds = limits.time.as_secs().saturating_add(1).saturating_mul(cores);
    let memory_kib = limits.memory_bytes.map_or(0, |bytes| (bytes >> 10).max(1));
    let mut shell = Command::new("/bin/sh");
    shell.stdin(Stdio::piped()).args(["-c", SUPERVISED, "trainer"]);
    shell.args([cpu_seconds.to_string(), memory_kib.to_string()]);
    shell.arg(absolute(&command.program)).args(&command.arguments).process_group(0);
    shell
}

#[cfg(not(unix))]
fn bounded(command: &TrainerCommand, _: TrainerLimits) -> Command {
    let mut plain = Command::new(absolute(&command.program));
    plain.stdin(Stdio::null()).args(&command.arguments);
    plain
}

/// A path as seen from here, since the command runs elsewhere; a bare name stays one that PATH knows.
fn absolute(program: &Path) -> PathBuf {
    std::path::absolute(program).ok().filter(|path| path.is_file()).unwrap_or_else(|| program.to_owned())
}

/// The trainer's process group. Dropping it kills what is left in it.
struct Group {
    #[cfg(unix)]
    leader: Option<rustix::process::Pid>,
}

impl Group {
    #[cfg(unix)]
    fn of(child: &Child) -> Self {
        let leader = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        Self { leader }
    }

    #[cfg(not(unix))]
    const fn of(_: &Child) -> Self {
        Self {}
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(leader) = self.leader {
            // Nobody is left: that is what was wanted.
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests;
