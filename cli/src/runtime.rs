//! What every command stands on: logs, the data folder, the async runtime, and the user's wish to stop.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use neuro_node::data_dir::DataDir;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::args::GlobalArgs;
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
            Failure::message(crate::exit_code::Outcome::Usage, "no home folder is known (HOME is not set)")
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

/// A runtime for network tasks, on one thread: computing happens on threads of its own, and a message that need not
/// wake a second thread on its way arrives sooner.
///
/// # Errors
/// When the operating system gives no threads.
pub fn tokio() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}

/// A token that is cancelled by Ctrl-C, by SIGTERM, or, with `with_parent`, when standard input closes.
///
/// # Errors
/// When the signals cannot be watched.
pub fn stop_token(with_parent: bool) -> io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let stop = token.clone();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            stop.cancel();
        });
    }
    #[cfg(not(unix))]
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        stop.cancel();
    });
    if with_parent {
        watch_parent(token.clone());
    }
    Ok(token)
}

/// Cancels `token` when standard input closes. The parent holds the other end and never writes, so that the kernel
/// closes it however the parent ends. A plain thread: a blocked read would keep the runtime from shutting down.
fn watch_parent(token: CancellationToken) {
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        token.cancel();
    });
}
