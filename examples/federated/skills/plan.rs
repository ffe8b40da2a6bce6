//! Who holds what, how many rounds there are, and how long steps are.

use neuro_model::Checkpoint;
use neuro_primitives::ExpertId;
use neuro_training::{Example, ExampleSource, Objective, Optimiser, TrainPlan, TrainedTensors, Wish};
use serde_json::{Value, json};

use crate::corpus::{Chat, Dice, Lexicon, NEW};

/// The old experts that the new ones begin as copies of.
pub const COPIES: [u16; 2] = [0, 1];

/// Experts of the base.
const OLD_EXPERTS: u16 = 8;

/// Participants who hold one of the new skills, for each of them.
pub const HOLDERS_OF_NEW: usize = 8;

/// Participants who hold one of the old skills, for each of them: in the rounds of the routers alone.
pub const HOLDERS_OF_OLD: usize = 2;

/// A cohort of fewer is not opened.
pub const LEAST: usize = 8;

/// Held-out questions a skill in the final marks.
pub const EACH: usize = 400;

/// Held-out questions for a point of a curve.
pub const LOOK: usize = 100;

/// Whose curves the router round has.
pub const LOOK_AT: [&str; 4] = ["sort", "reverse", "add", "compare"];

/// First tokens of a chat that no wish is made of: they are the same in every one.
const COMMON_TOKENS: usize = 3;

/// How often a row of an old skill counts in the routing loss. With 60, no old row goes astray, and in two of four layers
/// hardly one in ten rows of a new skill meets its expert.
const OLD_ROWS_COUNT: f32 = 8.0;

/// Seed of all questions that are trained on.
const SEED: u64 = 7;

/// A participant: one skill, and questions of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    skill: &'static str,
    number: u64,
}

/// Rounds of one kind.
#[derive(Debug, Clone, Copy)]
pub struct Phase {
    /// How many.
    pub rounds: u32,
    /// Local steps in each.
    pub steps: u32,
    /// Questions in a local step.
    pub questions: usize,
    /// Step size of Adam in the first round; it falls linearly to a twentieth.
    pub rate: f32,
    /// What the loss of the tokens counts.
    pub tokens: f32,
    /// What the loss that sends rows to their experts counts.
    pub routing: f32,
    /// Rounds between two points of a curve.
    pub look_every: u32,
    /// Keeps the questions of two phases apart.
    stream: u64,
}

impl Phase {
    /// The new rows of the routers before the experts are trained: who belongs where.
    pub const OPENING: Self =
        Self { rounds: 80, steps: 1, questions: 2, rate: 2e-2, tokens: 0.0, routing: 1.0, look_every: 20, stream: 1 };
    /// The expert of one skill.
    pub const EXPERT: Self =
        Self { rounds: 700, steps: 2, questions: 2, rate: 3e-3, tokens: 1.0, routing: 0.0, look_every: 50, stream: 2 };
    /// All new experts and their rows of the routers, once they have come together.
    pub const MIXING: Self = Self {
        rounds: 300,
        steps: 1,
        questions: 2,
        rate: 1.5e-3,
        tokens: 1.0,
        routing: 0.0,
        look_every: 25,
        stream: 3,
    };
    /// The new rows of the routers, at last.
    pub const ROUTER: Self =
        Self { rounds: 20, steps: 1, questions: 2, rate: 1e-3, tokens: 1.0, routing: 0.0, look_every: 10, stream: 4 };

    /// How participants train: plain steps, since the server has Adam's moments.
    pub fn local(&self) -> TrainPlan {
        self.with(Optimiser::Sgd { rate: LOCAL_RATE }, 1.0)
    }

    /// How the central trainer trains in `round`.
    pub fn central(&self, round: u32) -> TrainPlan {
        self.with(Optimiser::Adam { rate: self.rate, beta1: 0.9, beta2: 0.98 }, self.falling(round))
    }

    /// FedAdam's rate in `round`.
    pub fn server_rate(&self, round: u32) -> f32 {
        self.rate * self.falling(round)
    }

    fn falling(&self, round: u32) -> f32 {
        (1.0 - round as f32 / self.rounds as f32).max(0.05)
    }

    fn with(&self, optimiser: Optimiser, rate_scale: f32) -> TrainPlan {
        let objective = Objective { tokens: self.tokens, routing: self.routing, ..Objective::default() };
        TrainPlan { optimiser, steps: self.steps, rate_scale, longest_gradient: Some(1.0), objective }
    }
}

/// Step size of participants.
const LOCAL_RATE: f32 = 0.1;

impl Holder {
    /// `count` participants who hold `skill` and nothing else.
    pub fn of(skill: &'static str, count: usize) -> Vec<Self> {
        (0..count as u64).map(|number| Self { skill, number }).collect()
    }

    /// Where rows of this participant's questions belong: to its skill's own expert, where there is one, and to the old
    /// experts otherwise, which counts more. Where a row could be of both kinds it so goes to the old experts: an expert
    /// that is missing from a layer can be made up for in the next, one that intrudes cannot.
    fn wishes(&self) -> Vec<Wish> {
        if NEW.contains(&self.skill) {
            vec![Wish { experts: vec![expert_of(self.skill)], from: COMMON_TOKENS, weight: 1.0 }]
        } else {
            vec![Wish { experts: (0..OLD_EXPERTS).collect(), from: 0, weight: OLD_ROWS_COUNT }]
        }
    }

    /// Questions never repeat: each step draws from a stream of its own.
    fn dice(&self, phase: u64, step: u64) -> Dice {
        let skill = self.skill.bytes().fold(0, |sum, byte| sum * 31 + u64::from(byte));
        Dice::new(SEED ^ skill, (phase << 48) ^ (self.number << 32) ^ step)
    }
}

/// The expert of a new skill.
pub fn expert_of(skill: &str) -> u16 {
    OLD_EXPERTS + NEW.iter().position(|new| *new == skill).unwrap_or_default() as u16
}

/// Expert `number` of every layer. Its rows of the routers stay as the opening left them: whoever holds one skill alone
/// would only ever ask for more of it.
pub fn expert_choice(number: u16, layers: usize) -> TrainedTensors {
    TrainedTensors::Experts { experts: in_all_layers(number, layers).collect(), router_rows: false }
}

/// The experts of all new skills in every layer, with their rows of the routers.
pub fn mixing_choice(layers: usize) -> TrainedTensors {
    let experts = NEW.iter().flat_map(|skill| in_all_layers(expert_of(skill), layers)).collect();
    TrainedTensors::Experts { experts, router_rows: true }
}

fn in_all_layers(expert: u16, layers: usize) -> impl Iterator<Item = ExpertId> {
    (0..layers as u16).map(move |layer| ExpertId { layer, expert })
}

/// What some participants learn from, step by step: each its own questions, one after the other.
pub fn examples(holders: Vec<Holder>, phase: Phase) -> anyhow::Result<Box<dyn ExampleSource>> {
    let base = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/federated/skills/base");
    let (lexicon, chat) = (Lexicon::read()?, Chat::of(&Checkpoint::open(&base)?)?);
    Ok(Box::new(move |step: u64| {
        let of = |holder: &Holder| {
            let mut dice = holder.dice(phase.stream, step);
            let draw = |_| chat.example(&lexicon.draw(&mut dice, holder.skill, false), holder.wishes());
            (0..phase.questions).map(draw).collect::<anyhow::Result<Vec<Example>>>()
        };
        // A question that cannot be encoded leaves a hole; the trainer refuses a step without any.
        holders.iter().flat_map(|holder| of(holder).unwrap_or_default()).collect()
    }))
}

/// The plan as the record has it.
pub fn described() -> Value {
    let phase = |phase: Phase| {
        json!({ "rounds": phase.rounds, "local_steps": phase.steps, "questions_a_step": phase.questions,
            "rate": phase.rate, "routing_loss": phase.routing })
    };
    json!({
        "opening": phase(Phase::OPENING), "expert": phase(Phase::EXPERT), "mixing": phase(Phase::MIXING), "router": phase(Phase::ROUTER), "local": "SGD 0.1", "server": "FedAdam 0.9 0.98", "central": "Adam 0.9 0.98",
        "holders_of_each_new_skill": HOLDERS_OF_NEW,
        "holders_of_each_old_skill": HOLDERS_OF_OLD, "old_rows_count": OLD_ROWS_COUNT, "copies_of_experts": COPIES, "seed": SEED,
        "sum": "weight 1, integers, 2^24 a unit", "noise": "none",
    })
}
