//! A folder of its own for each test, and every process that was started in it.
//!
//! Processes are recognised by an environment variable that they inherit, so that one that was left behind is found
//! however it detached itself, and killed when the test ends.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process::Process;

/// How long anything that must happen may take: far more than it does, because machines are busy.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks at something that sends no event.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_neuro");

/// The variable that marks a stage's processes.
const MARK: &str = "STAGE_OF_TEST";

/// Where one test happens.
pub struct Stage {
    folder: TempDir,
}

/// What a command that ran to its end said.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it said beside it.
    pub stderr: String,
}

impl Stage {
    /// An empty folder.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("stage-").tempdir().unwrap();
        fs::create_dir(folder.path().join("temporary")).unwrap();
        Self { folder }
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the program left in the folder for temporary files.
    pub fn left_in_temporary(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("temporary")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Any program, with an environment that knows nothing of the person who runs the tests.
    pub fn command_of(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.env(MARK, self.folder.path()).env("TMPDIR", self.path("temporary"));
        command.env("HOME", self.path("home")).env("LANG", "C.UTF-8").env("TERM", "xterm-256color");
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// The program with these arguments.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command_of(PROGRAM);
        command.args(arguments);
        command
    }

    /// Starts the program, to be watched while it runs.
    pub fn start(&self, arguments: &[&str]) -> Process {
        Process::start(self.command(arguments))
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        finish(self.command(arguments), "")
    }

    /// Runs the program to its end with `input` on its standard input.
    pub fn pipe(&self, arguments: &[&str], input: &str) -> Finished {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped());
        finish(command, input)
    }

    /// The living processes of this stage, all their descendants among them.
    pub fn processes(&self) -> Vec<u32> {
        let mark = format!("{MARK}={}", self.folder.path().display());
        let is_ours = |pid: &u32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|&byte| byte == 0).any(|variable| variable == mark.as_bytes())
        };
        let entries = fs::read_dir("/proc").unwrap();
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).filter(is_ours).collect()
    }

    /// Waits until no process of this stage lives.
    pub fn wait_empty(&self) {
        eventually("every process ends", || self.processes().is_empty());
    }

    /// `text` with this stage's folder and the repository's called by fixed names.
    pub fn anonymous(&self, text: &str) -> String {
        let repository = crate::models::repository();
        let text = text.replace(&self.folder.path().display().to_string(), "STAGE");
        text.replace(&repository.display().to_string(), "REPOSITORY")
    }

    /// A command and how it ended, as a snapshot shows it.
    pub fn transcript(&self, arguments: &[&str], finished: &Finished) -> String {
        let code = finished.code.map_or_else(|| "signal".to_owned(), |code| code.to_string());
        let said = format!("$ neuro {}\n{}{}[{code}]", arguments.join(" "), finished.stdout, finished.stderr);
        self.anonymous(&said)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for pid in self.processes() {
            signal(pid, "KILL");
        }
    }
}

/// Runs `command` to its end with `input` on its standard input.
pub fn finish(mut command: Command, input: &str) -> Finished {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stdin = child.stdin.take();
    let input = input.to_owned();
    // A command that fails early reads nothing; that its pipe is closed then is no fault.
    let writing = thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(input.as_bytes())));
    // A command that never ends would leave the test without a word.
    let (ended, end) = mpsc::channel::<()>();
    let pid = child.id();
    let watching = thread::spawn(move || {
        if end.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            signal(pid, "KILL");
        }
    });
    let output = child.wait_with_output().unwrap();
    drop(ended);
    drop((writing.join(), watching.join()));
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    Finished { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Waits for something that must come.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {} s: {what}", PATIENCE.as_secs());
        thread::sleep(LOOK_AGAIN);
    }
}

/// Sends a signal to one process; one that is gone already is no fault.
pub fn signal(pid: u32, name: &str) {
    let command = format!("kill -{name} {pid}");
    drop(Command::new("sh").args(["-c", &command]).stderr(Stdio::null()).status());
}

/// The names in a folder, sorted; none for a folder that is not there.
pub fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
