//! Who holds what, how many rounds there are, how long steps are, and how much noise is added.

use neuro_model::{ModelConfig, names};
use neuro_primitives::{ExpertId, Hash, NodeId};
use neuro_training::{Example, ExampleSource, LowRank, Objective, Optimiser, TrainPlan, TrainedTensors, Wish};
use serde_json::{Value, json};
use std::sync::Arc;

use crate::corpus::{Dice, NEW, OLD, Texts};

mod figures;

pub use figures::{FEDERATED, PRIVATE};

/// The old experts that the new ones begin as copies of.
pub const COPIES: [u16; 2] = [0, 1];

/// Experts of the base.
const OLD_EXPERTS: u16 = 8;

/// A cohort of fewer members is not opened: an update of too few would say too much of each.
pub const LEAST: usize = 8;

/// Held-out questions a skill in the final marks.
pub const EACH: usize = 400;

/// Held-out questions for a point of a curve.
pub const LOOK: usize = 100;

/// Whose curves the rounds of all participants have.
pub const LOOK_AT: [&str; 4] = ["sort", "reverse", "add", "compare"];

/// δ at which ε is told: below one in all participants of the run with noise.
pub const DELTA: f64 = 5e-6;

/// First tokens of a chat that no wish is made of: they are the same in every one.
const COMMON_TOKENS: usize = 3;

/// How often a row of an old skill counts in the routing loss. With 60, no old row goes astray, and in two of four layers
/// hardly one in ten rows of a new skill meets its expert.
const OLD_ROWS_COUNT: f32 = 8.0;

/// Seed of all questions that are trained on.
const SEED: u64 = 7;

/// What the product of an adapter's matrices counts.
const ADAPTER_SCALE: f32 = 4.0;

/// Of the matrices `A` of adapters: public, and the same for everybody.
pub const ADAPTER_SEED: u64 = 11;

/// Step size of participants. FedAdam does not see it: a step of the server has the same length whatever it is.
const LOCAL_RATE: f32 = 0.1;

/// All rounds of a run.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Its name in curves and files.
    pub name: &'static str,
    /// The new rows of the routers before the experts are trained: who belongs where.
    pub opening: Phase,
    /// The expert of one skill.
    pub expert: Phase,
    /// All new experts and their rows of the routers, once they have come together.
    pub mixing: Option<Phase>,
    /// The new rows of the routers, at last.
    pub router: Phase,
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
    /// Gradients that are longer are shortened to this.
    pub longest: f32,
    /// Members of a round for each new skill.
    pub of_new: u64,
    /// Members of a round for each of [`OLD`]; none where one skill trains its expert.
    pub of_old: [u64; OLD.len()],
    /// Fixed batches of so many members; round r calls batch r mod this.
    pub batches: u64,
    /// Rank of adapters beside the projections of the expert, of which one matrix is trained in the place of the expert
    /// itself: noise grows with the number of entries. None: no adapters.
    pub rank: Option<usize>,
    /// z: Skellam noise of variance (z·Δ₂)² is in the sum at least. None: no noise.
    pub noise: Option<f64>,
    /// Rounds between two points of a curve.
    pub look_every: u32,
    /// Keeps the questions of two phases apart.
    pub stream: u64,
}

/// A participant: one skill, and questions of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The one skill.
    pub skill: &'static str,
    /// Among those who hold it.
    pub number: u64,
}

/// Whose rounds these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Called {
    /// Those who hold one skill.
    Holders(&'static str),
    /// Holders of all skills.
    Everyone,
}

impl Phase {
    /// The members of round `round`.
    #[must_use]
    pub fn attending(&self, called: Called, round: u32) -> Vec<Holder> {
        let batch = u64::from(round) % self.batches;
        let of = |skill, seats: u64| (0..seats).map(move |seat| Holder { skill, number: batch * seats + seat });
        match called {
            Called::Holders(skill) => of(skill, self.of_new).collect(),
            Called::Everyone => {
                let new = NEW.iter().flat_map(|skill| of(skill, self.of_new));
                new.chain(OLD.iter().zip(self.of_old).flat_map(|(skill, seats)| of(skill, seats))).collect()
            }
        }
    }

    /// How participants train: plain steps, since the server has Adam's moments.
    #[must_use]
    pub fn local(&self) -> TrainPlan {
        self.with(Optimiser::Sgd { rate: LOCAL_RATE }, 1.0)
    }

    /// c: no update is longer.
    #[must_use]
    pub fn longest_update(&self) -> f64 {
        f64::from(LOCAL_RATE) * f64::from(self.longest) * f64::from(self.steps)
    }

    /// How the central trainer trains in `round`.
    #[must_use]
    pub fn central(&self, round: u32) -> TrainPlan {
        self.with(Optimiser::Adam { rate: self.rate, beta1: BETA1, beta2: BETA2 }, self.falling(round))
    }

    /// FedAdam's rate in `round`.
    #[must_use]
    pub fn server_rate(&self, round: u32) -> f64 {
        f64::from(self.rate * self.falling(round))
    }

    fn falling(&self, round: u32) -> f32 {
        (1.0 - round as f32 / self.rounds as f32).max(0.05)
    }

    fn with(&self, optimiser: Optimiser, rate_scale: f32) -> TrainPlan {
        let objective = Objective { tokens: self.tokens, routing: self.routing, ..Objective::default() };
        TrainPlan { optimiser, steps: self.steps, rate_scale, longest_gradient: Some(self.longest), objective }
    }

    fn described(&self) -> Value {
        json!({ "rounds": self.rounds, "local_steps": self.steps, "questions_a_step": self.questions,
            "rate": self.rate, "tokens": self.tokens, "routing": self.routing, "longest_gradient": self.longest,
            "members_of_each_new_skill": self.of_new, "members_of_each_old_skill": self.of_old,
            "batches": self.batches, "adapter_rank": self.rank, "noise_multiplier": self.noise })
    }
}

/// Adam's decays, of the server and of the central trainer.
pub const BETA1: f32 = 0.9;
/// See [`BETA1`].
pub const BETA2: f32 = 0.98;

impl Plan {
    /// The phases of the run in their order, with who is called and the name in the curves.
    #[must_use]
    pub fn cohorts(&self) -> Vec<(&'static str, Phase, Called)> {
        let experts = NEW.map(|skill| (skill, self.expert, Called::Holders(skill)));
        let mixing = self.mixing.map(|mixing| ("mixing", mixing, Called::Everyone));
        let ends = [("opening", self.opening, Called::Everyone), ("router", self.router, Called::Everyone)];
        ends[..1].iter().copied().chain(experts).chain(mixing).chain(ends[1..].iter().copied()).collect()
    }

    /// The plan as the record has it.
    #[must_use]
    pub fn described(&self) -> Value {
        json!({
            "opening": self.opening.described(), "expert": self.expert.described(),
            "mixing": self.mixing.map(|mixing| mixing.described()), "router": self.router.described(),
            "local": format!("SGD {LOCAL_RATE}"), "server": format!("FedAdam {BETA1} {BETA2}"),
            "central": format!("Adam {BETA1} {BETA2}"), "weight": 1, "least_members": LEAST,
            "old_rows_count": OLD_ROWS_COUNT, "copies_of_experts": COPIES, "seed": SEED,
        })
    }
}

impl Holder {
    /// Whom the budget is charged to.
    #[must_use]
    pub fn node(&self) -> NodeId {
        NodeId(Hash::of(format!("{} {}", self.skill, self.number).as_bytes()).0)
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
#[must_use]
pub fn expert_of(skill: &str) -> u16 {
    OLD_EXPERTS + NEW.iter().position(|new| *new == skill).unwrap_or_default() as u16
}

/// Expert `number` of every layer. Its rows of the routers stay as the opening left them: whoever holds one skill alone
/// would only ever ask for more of it.
#[must_use]
pub fn expert_choice(number: u16, layers: usize) -> TrainedTensors {
    TrainedTensors::Experts { experts: in_all_layers(number, layers).collect(), router_rows: false }
}

/// Adapters of rank `rank` beside the projections of expert `number` of every layer.
#[must_use]
pub fn adapters(config: &ModelConfig, number: u16, rank: usize) -> LowRank {
    let of = |id| {
        let names = names::expert(config, id);
        [names.gate, names.up, names.down]
    };
    let projections = in_all_layers(number, config.layers).flat_map(of).collect();
    LowRank { projections, rank, alpha: ADAPTER_SCALE * rank as f32 }
}

/// The matrices `B` of these adapters, which begin as zero. The matrices `A` stay as everybody drew them, so the mean of
/// products is the product of means (FFA-LoRA, Sun et al., arXiv 2403.12313).
#[must_use]
pub fn adapters_choice(adapters: &LowRank) -> TrainedTensors {
    TrainedTensors::Tensors(adapters.projections.iter().map(|name| format!("{name}.lora_b")).collect())
}

/// The experts of all new skills in every layer, with their rows of the routers.
#[must_use]
pub fn mixing_choice(layers: usize) -> TrainedTensors {
    let experts = NEW.iter().flat_map(|skill| in_all_layers(expert_of(skill), layers)).collect();
    TrainedTensors::Experts { experts, router_rows: true }
}

/// The rows of the new experts in every router.
#[must_use]
pub fn rows_choice() -> TrainedTensors {
    TrainedTensors::RouterRows(NEW.map(expert_of).to_vec())
}

fn in_all_layers(expert: u16, layers: usize) -> impl Iterator<Item = ExpertId> {
    (0..layers as u16).map(move |layer| ExpertId { layer, expert })
}

/// What those who attend learn from, step by step from `first` on: each its own questions, one after the other.
#[must_use]
pub fn examples(
    texts: Arc<Texts>,
    phase: Phase,
    first: u64,
    attending: impl Fn(u32) -> Vec<Holder> + Send + 'static,
) -> Box<dyn ExampleSource> {
    Box::new(move |step: u64| {
        let step = first + step;
        // Rounds are counted in 32 bits.
        let round = (step / u64::from(phase.steps)) as u32;
        let of = |holder: &Holder| {
            let mut dice = holder.dice(phase.stream, step);
            let draw = |_| texts.chat.example(&texts.lexicon.draw(&mut dice, holder.skill, false), holder.wishes());
            (0..phase.questions).map(draw).collect::<anyhow::Result<Vec<Example>>>()
        };
        // A question that cannot be encoded leaves a hole; the trainer refuses a step without any.
        attending(round).iter().flat_map(|holder| of(holder).unwrap_or_default()).collect()
    })
}
