//! A real terminal: a shell under tmux, its keys and its screen.

use std::cell::RefCell;
use std::process::Command;

use crate::stage::{Finished, Stage, eventually, finish};

/// A terminal of 80×24 characters with a plain shell in it.
pub struct Terminal<'a> {
    stage: &'a Stage,
    socket: String,
}

impl<'a> Terminal<'a> {
    /// Opens one. Under `CI` there must be a tmux, and the checks of the repository install it; elsewhere a machine
    /// without one still passes the tests, and is told what it left out.
    pub fn open(stage: &'a Stage) -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "there is no tmux (Debian's package is tmux)");
            eprintln!("not run: this test looks at a terminal and needs tmux (Debian's package is tmux)");
            return None;
        }
        let terminal = Self { stage, socket: stage.path("tmux").display().to_string() };
        let started = terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "PS1='$ ' sh"]);
        assert_eq!(started.code, Some(0), "tmux does not start (Debian's package is tmux): {}", started.stderr);
        Some(terminal)
    }

    /// Types a command of the program and, after it, one that tells its exit status.
    pub fn enter(&self, stage: &Stage, arguments: &[&str]) {
        let command = stage.command(arguments);
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<String> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
        std::fs::write(stage.path("run"), format!("{}\necho \"ended with $?\"\n", words.join(" "))).unwrap();
        self.type_line(". ./run");
    }

    /// Types text and the return key.
    pub fn type_line(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]);
        self.press("Enter");
    }

    /// Presses one key, as tmux calls it.
    pub fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    /// What the terminal shows.
    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"]).stdout
    }

    /// Waits for text on the screen; returns the screen.
    pub fn wait_for(&self, text: &str) -> String {
        self.wait_until(text, |screen| screen.contains(text))
    }

    /// Waits for a screen that fits; returns it.
    pub fn wait_until(&self, what: &str, mut fits: impl FnMut(&str) -> bool) -> String {
        let last = RefCell::new(String::new());
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually(what, || {
                *last.borrow_mut() = self.screen();
                fits(&last.borrow())
            });
        }));
        outcome.unwrap_or_else(|_| panic!("the screen never showed {what:?}; it shows\n{}", last.borrow()));
        last.into_inner()
    }

    /// Whether a full-screen program has the terminal.
    pub fn shows_alternate_screen(&self) -> bool {
        self.tmux(&["display-message", "-p", "#{alternate_on}"]).stdout.trim() == "1"
    }

    fn tmux(&self, arguments: &[&str]) -> Finished {
        let mut command: Command = self.stage.command_of("tmux");
        command.args(["-S", &self.socket]).args(arguments);
        finish(command, "")
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}
