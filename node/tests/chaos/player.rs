//! A worker process: this test program, told whom to play.

use std::process::{Child, Command, Stdio};

use neuro_node::data_dir::DataDir;
use neuro_primitives::{Hash, NodeId, NodeKey, RowSum};
use neuro_protocol::frame::Answer;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::network::Worker;
use crate::twin_worker::{Conduct, Door, Reply};

/// The variable that says whom to play, as JSON.
const SCRIPT: &str = "NEURO_TEST_PLAY";

/// What a worker process does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Part {
    /// Runs the real worker.
    Good { name: String },
    /// Gives right answers to so many tasks, and then wrong ones to some.
    Liar { name: String, honest: usize, percent: usize, in_sums_alone: bool },
    /// Takes tasks and never answers.
    Silent { name: String },
}

#[derive(Debug, Serialize, Deserialize)]
struct Script {
    part: Part,
    folder: String,
    control: String,
    orchestrator: [u8; 32],
    ticket: String,
}

/// A worker process. Dropping it kills it.
pub struct Player {
    part: Part,
    door: Door,
    folder: TempDir,
    child: Child,
}

impl Player {
    pub fn start(part: Part, door: &Door) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = spawn(&part, door, &folder);
        Self { part, door: door.clone(), folder, child }
    }

    /// Kill -9, and the same node again.
    pub fn die_and_come_back(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(&self.part, &self.door, &self.folder);
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(part: &Part, door: &Door, folder: &TempDir) -> Child {
    let script = Script {
        part: part.clone(),
        folder: folder.path().to_str().unwrap().to_owned(),
        control: door.control.clone(),
        orchestrator: door.orchestrator.0,
        ticket: door.ticket.clone(),
    };
    Command::new(std::env::current_exe().unwrap())
        .args(["play", "--exact", "--nocapture"])
        .env(SCRIPT, serde_json::to_string(&script).unwrap())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Plays the part, if there is one, until the process is killed.
pub async fn play() {
    let Ok(script) = std::env::var(SCRIPT) else { return };
    let Script { part, folder, control, orchestrator, ticket } = serde_json::from_str(&script).unwrap();
    let data_dir = DataDir::open(std::path::Path::new(&folder)).unwrap();
    let door = Door { control, orchestrator: NodeId(orchestrator), ticket };
    match part {
        Part::Good { name } => {
            let config = Worker::config_in(&data_dir, &name, &door.ticket);
            let mut worker = Worker::start((config, None));
            panic!("a good worker ended: {}", worker.failure().await);
        }
        Part::Liar { name, honest, percent, in_sums_alone } => {
            let mut answered = 0;
            let conduct = Conduct::lying(&name, move |_, answer| {
                answered += 1;
                let lies = answered > honest && answered * 37 % 100 < percent;
                Reply::answer(if lies { wrong(answer, in_sums_alone) } else { answer })
            });
            as_twin(&data_dir, &door, Conduct { signs: true, ..conduct }).await;
        }
        Part::Silent { name } => as_twin(&data_dir, &door, Conduct::lying(&name, |_, _| Vec::new())).await,
    }
}

async fn as_twin(data_dir: &DataDir, door: &Door, conduct: Conduct) {
    let key: NodeKey = data_dir.node_key().unwrap();
    let mut twin = door.twin_with(key, conduct).await.unwrap();
    // Whoever is told to leave stays away.
    let _ = (&mut twin.attending).await;
}

/// Off by one in a value of the first row; of digests, the first is made up, if they shall not be right.
fn wrong(mut answer: Answer, in_sums_alone: bool) -> Answer {
    match &mut answer.sums[0] {
        RowSum::One(values) => values[0] += 1.0,
        RowSum::Many(values) => values[0] += 1 << 40,
    }
    if !in_sums_alone {
        answer.digests[0] = Hash([7; 32]);
    }
    answer
}
