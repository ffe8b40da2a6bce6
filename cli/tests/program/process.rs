//! A running process of the program: its events as they come, what it says, how it ends.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use serde_json::Value;

use crate::stage::{PATIENCE, eventually, signal};

/// One process. Its standard input stays open until it is dropped or closed.
pub struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    events: mpsc::Receiver<Value>,
    said: Arc<Mutex<String>>,
    /// Reads what it says, until the last process that could say something has ended.
    hearing: thread::JoinHandle<()>,
}

impl Process {
    /// Starts `command` and reads on while it runs, so that it never waits for a full pipe.
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, events) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            let lines = stdout.lines().map_while(Result::ok);
            for event in lines.filter_map(|line| serde_json::from_str(&line).ok()) {
                drop(sender.send(event));
            }
        });
        let said = Arc::new(Mutex::new(String::new()));
        let (mut stderr, hear) = (child.stderr.take().unwrap(), Arc::clone(&said));
        let hearing = thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = stderr.read(&mut bytes) {
                hear.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..length]));
            }
        });
        Self { stdin: child.stdin.take(), child, events, said, hearing }
    }

    /// The next event of this name; earlier ones are passed over.
    pub fn event(&self, name: &str) -> Value {
        loop {
            match self.events.recv_timeout(PATIENCE) {
                Ok(event) if event["event"] == name => return event,
                Ok(_) => {}
                Err(error) => panic!("no event {name:?}: {error}; the process said: {}", self.said()),
            }
        }
    }

    /// What it wrote to standard error so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ctrl-C.
    pub fn interrupt(&self) {
        signal(self.id(), "INT");
    }

    /// Ends it without a chance to say a word.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Closes its standard input, as its parent's end would.
    pub fn close_input(&mut self) {
        self.stdin = None;
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        let said = Arc::clone(&self.said);
        eventually(&format!("the process ends, which said {:?}", said.lock().unwrap()), || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        eventually("its last words are read", || self.hearing.is_finished());
        status.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
