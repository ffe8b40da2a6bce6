//! What every command stands on: logs, the data folder, the async runtime, and the user's wish to stop.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use neuro_node::data_dir::DataDir;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::args::GlobalArgs;
use crate::exit_code::Outcome;
use crate::failure::Failure;

/// Sends logs to stderr. `NEURO_LOG` takes a filter as `tracing` knows it; `-v` and `-vv` are short forms.
pub fn start_logging(verbose: u8) {
    let default = match verbose {
        0 => "warn,libp2p=error",
        1 => "info,libp2p=warn",
        _ => "debug,libp2p=info,h2=info,hyper=info",
    };
    let filter = EnvFilter::try_from_env("NEURO_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .try_init();
}

/// The data folder: `--data-dir`, `NEURO_DATA_DIR`, or the user's data home (XDG) with `neuro` in it.
///
/// # Errors
/// When no home is known or the folder cannot be made.
pub fn data_dir(global: &GlobalArgs) -> Result<DataDir, Failure> {
    let path = match &global.data_dir {
        Some(path) => path.clone(),
        None => default_data_dir().ok_or_else(|| {
            Failure::message(Outcome::Usage, "no home folder is known (HOME is not set)")
                .hint("name a folder with --data-dir DIR")
        })?,
    };
    Ok(DataDir::open(&path)?)
}

fn default_data_dir() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")))?;
    Some(home.join("neuro"))
}

/// How long the program's end waits for threads that still read or compute: enough to write down what is small, and
/// little to who pressed Ctrl-C. What is cut off is what a crash would have cut off too.
const LAST_WORK: Duration = Duration::from_secs(1);

/// A runtime for network tasks, on one thread: computing happens on threads of its own, and a message that need not
/// wake a second thread on its way arrives sooner.
///
/// # Errors
/// When the operating system gives no threads.
pub fn tokio() -> Result<Runtime, Failure> {
    Ok(Runtime(tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?))
}

/// A runtime that ends although a thread of it hangs.
pub struct Runtime(tokio::runtime::Runtime);

impl Runtime {
    /// Runs `work` and ends.
    pub fn block_on<T>(self, work: impl Future<Output = T>) -> T {
        let done = self.0.block_on(work);
        self.0.shutdown_timeout(LAST_WORK);
        done
    }
}

/// A token that is cancelled by Ctrl-C, by SIGTERM, or, with `with_parent`, when standard input closes. A second signal
/// ends the process.
///
/// # Errors
/// When the signals cannot be watched.
pub fn stop_token(with_parent: bool) -> io::Result<CancellationToken> {
    let token = Interrupts::watch()?.token();
    if with_parent {
        watch_parent(token.clone());
    }
    Ok(token)
}

/// What Ctrl-C and SIGTERM stop: the work that is under way; where there is none, or it was stopped before and still
/// runs, the process.
#[derive(Clone, Default)]
pub struct Interrupts(Arc<Mutex<Option<CancellationToken>>>);

impl Interrupts {
    /// Watches the signals from now on, while no work is under way. On a thread of its own, so that whatever hangs can be
    /// ended. Once in a process.
    ///
    /// # Errors
    /// When the signals cannot be watched.
    pub fn watch() -> io::Result<Self> {
        let interrupts = Self::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut signals = {
            let _inside = runtime.enter();
            Signals::new()?
        };
        let obeyed = interrupts.clone();
        let obey = async move {
            loop {
                signals.next().await;
                obeyed.interrupt();
            }
        };
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(obey))?;
        Ok(interrupts)
    }

    /// Work begins, which ends when the token is cancelled.
    pub fn token(&self) -> CancellationToken {
        let token = CancellationToken::new();
        *self.stopping() = Some(token.clone());
        token
    }

    /// The work is over.
    pub fn finished(&self) {
        *self.stopping() = None;
    }

    fn interrupt(&self) {
        let stopping = self.stopping().take();
        match stopping {
            Some(token) => token.cancel(),
            None => std::process::exit(Outcome::Interrupted as i32),
        }
    }

    /// Nothing panics while it is held.
    fn stopping(&self) -> MutexGuard<'_, Option<CancellationToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The signals that ask a program to end.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The signals that ask a program to end.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    const fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}

/// Cancels `token` when standard input closes. The parent holds the other end and never writes, so that the kernel
/// closes it however the parent ends. A plain thread: a blocked read would keep the runtime from shutting down.
fn watch_parent(token: CancellationToken) {
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        token.cancel();
    });
}
