//! A whole run: the phases of a plan one after the other, with or without participants.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use neuro_model::{Checkpoint, ModelConfig};
use neuro_training::{
    Flat, LocalRule, LowRank, MoeModel, MoeTrainer, TrainedParts, TrainedTensors, Trainer, with_more_experts,
};

use crate::cohort::{Cohort, DEADLINE};
use crate::corpus::{NEW, Texts};
use crate::plan::{self, Called, Phase, Plan, expert_choice, expert_of};
use crate::record::{self, Curves};
use crate::{marking, masked};

/// What every run needs.
pub struct Setting {
    /// The folder of the example.
    pub home: PathBuf,
    /// Where finished cohorts are kept, so that a run that was broken off goes on.
    kept: PathBuf,
    /// The model that is taught.
    pub base: MoeModel,
    /// The same with an expert more a layer for each new skill.
    pub grown: MoeModel,
    /// Its `config.json`.
    pub config: Vec<u8>,
    /// Questions and how they become tokens.
    pub texts: Arc<Texts>,
}

/// Whether every participant trains alone, or one trainer has all their examples.
#[derive(Debug, Clone, Copy)]
pub enum Run {
    /// Rounds.
    Federated(Plan),
    /// One trainer with the examples of this plan.
    Central(Plan),
}

impl Run {
    /// The plan.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        match self {
            Self::Federated(plan) | Self::Central(plan) => plan,
        }
    }

    /// Its name in curves and files.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Federated(plan) => plan.name,
            Self::Central(_) => "central",
        }
    }
}

/// One phase: its name, its figures, and who is called.
type Part = (&'static str, Phase, Called);

impl Setting {
    /// The base of the example in `home`; what is kept goes below `out`.
    ///
    /// # Errors
    /// A base that cannot be read or grown.
    pub fn read(home: &Path, out: &Path) -> anyhow::Result<Self> {
        let checkpoint = Checkpoint::open(&home.join("base"))?;
        let base = MoeModel::read(&checkpoint)?;
        let (config, weights) = with_more_experts(checkpoint.config_bytes(), base.weights(), &plan::COPIES)?;
        let grown = MoeModel::new(ModelConfig::from_json(&config)?, weights, None)?;
        let texts = Arc::new(Texts::of(&checkpoint)?);
        Ok(Self { home: home.to_owned(), kept: out.join("cohorts"), base, grown, config, texts })
    }

    /// What the phase called `name` changes.
    #[must_use]
    pub fn choice(&self, name: &str) -> TrainedTensors {
        let layers = self.grown.config().layers;
        match name {
            "opening" | "router" => plan::rows_choice(),
            "mixing" => plan::mixing_choice(layers),
            skill => expert_choice(expert_of(skill), layers),
        }
    }

    /// The length of the vectors in each phase of `plan`.
    ///
    /// # Errors
    /// None for phases of this example.
    pub fn entries(&self, plan: &Plan) -> anyhow::Result<Vec<usize>> {
        let entries = |(name, phase, _)| Ok(self.subject(&self.grown, name, &phase)?.parts()?.entries());
        plan.cohorts().into_iter().map(entries).collect()
    }

    /// What the phase called `name` trains when it begins from `model`.
    fn subject(&self, model: &MoeModel, name: &str, phase: &Phase) -> anyhow::Result<Subject> {
        let Some(rank) = phase.rank else {
            return Ok(Subject { model: model.clone(), choice: self.choice(name), adapters: None });
        };
        let adapters = plan::adapters(model.config(), expert_of(name), rank);
        let mut weights = model.weights().clone();
        adapters.attach(&mut weights, plan::ADAPTER_SEED)?;
        let model = MoeModel::new(model.config().clone(), weights, Some(&adapters))?;
        Ok(Subject { model, choice: plan::adapters_choice(&adapters), adapters: Some(adapters) })
    }

    /// The model that `run` gives, as it is stored. Phases that were finished before are not repeated.
    ///
    /// # Errors
    /// Training that diverges; a folder that cannot be written.
    pub fn run(&self, run: &Run, curves: &mut Curves) -> anyhow::Result<MoeModel> {
        std::fs::create_dir_all(&self.kept)?;
        let (mut opened, mut model) = (self.grown.clone(), self.grown.clone());
        for part in run.plan().cohorts() {
            (opened, model) = self.next(run, (opened, model), part, curves)?;
        }
        rounded(&model)
    }

    /// The model that experts begin from and the model so far, after one more phase. Every expert begins from the same
    /// model: their cohorts could as well train at the same time.
    fn next(
        &self,
        run: &Run,
        (opened, model): (MoeModel, MoeModel),
        part: Part,
        curves: &mut Curves,
    ) -> anyhow::Result<(MoeModel, MoeModel)> {
        if !NEW.contains(&part.0) {
            let trained = self.phase(run, &model, part, curves)?;
            return Ok((trained.clone(), trained));
        }
        let taught = rounded(&self.phase(run, &opened, part, curves)?)?;
        let own = parts(&taught, &self.choice(part.0))?;
        let joined = with(&model, &own, &Flat(own.read(taught.weights())?))?;
        Ok((opened, joined))
    }

    /// All rounds of one phase, from `model`, or what they gave when they were run before.
    fn phase(&self, run: &Run, model: &MoeModel, part: Part, curves: &mut Curves) -> anyhow::Result<MoeModel> {
        let (name, phase, _) = part;
        let subject = self.subject(model, name, &phase)?;
        let kept = self.kept.join(format!("{}-{name}.f32", run.name()));
        if let Some(values) = record::read_kept(&kept, subject.parts()?.entries())? {
            return subject.with(&values);
        }
        let mut trainer = self.trainer(run, &subject, part)?;
        let mut loss = f32::NAN;
        for round in 0..phase.rounds {
            if round % phase.look_every == 0 {
                self.look(run, &subject.with(trainer.global())?, name, (round * phase.steps, loss), curves)?;
            }
            loss = trainer.round(&phase, round)?;
        }
        let taught = subject.with(trainer.global())?;
        self.look(run, &taught, name, (phase.rounds * phase.steps, loss), curves)?;
        record::keep(&kept, trainer.global())?;
        Ok(taught)
    }

    fn trainer(&self, run: &Run, subject: &Subject, (name, phase, called): Part) -> anyhow::Result<Rounds> {
        let Subject { model, choice, .. } = subject;
        if matches!(run, Run::Federated(_)) {
            let cohort = Cohort::open(name, model.clone(), choice, (phase, called), self.texts.clone())?;
            return Ok(Rounds::Apart(Box::new(cohort)));
        }
        let attending = move |round| phase.attending(called, round);
        let examples = plan::examples(self.texts.clone(), phase, 0, attending);
        let trainer = MoeTrainer::new(model.clone(), choice, examples, phase.central(0))?;
        let global = Flat(trainer.parts().read(model.weights())?);
        Ok(Rounds::Together(Box::new(trainer), global))
    }

    /// A point of the phase's curves: its own skill's, or those of some skills where everyone takes part.
    fn look(
        &self,
        run: &Run,
        model: &MoeModel,
        phase: &'static str,
        (step, loss): (u32, f32),
        curves: &mut Curves,
    ) -> anyhow::Result<()> {
        let (own, one_skill) = ([phase], NEW.contains(&phase));
        for skill in if one_skill { &own[..] } else { &plan::LOOK_AT[..] } {
            let marks = marking::mark(model, &self.texts, skill, plan::LOOK, false)?;
            let name = if one_skill { phase.to_owned() } else { format!("{phase}:{skill}") };
            curves.add(run.name(), &name, step, loss, marks)?;
        }
        Ok(())
    }

    /// The first round of each phase of a finished run without noise once more, with all of the protocol of secure aggregation.
    ///
    /// # Errors
    /// A masked sum that is not, to the bit, the plain one.
    pub fn masked_rounds(&self, plan: &Plan) -> anyhow::Result<Vec<serde_json::Value>> {
        let (run, mut curves, mut rounds) = (Run::Federated(*plan), Curves::silent(), Vec::new());
        let (mut opened, mut model) = (self.grown.clone(), self.grown.clone());
        for part in plan.cohorts() {
            let (name, phase, called) = part;
            let from = if NEW.contains(&name) { &opened } else { &model };
            let cohort = Cohort::open(name, from.clone(), &self.choice(name), (phase, called), self.texts.clone())?;
            let report = masked::masked_round(&cohort, 0)?;
            rounds.push(record::masked(name, cohort.global.0.len(), &report));
            (opened, model) = self.next(&run, (opened, model), part, &mut curves)?;
        }
        Ok(rounds)
    }
}

/// What a phase trains: some tensors of a model, or adapters beside them.
struct Subject {
    model: MoeModel,
    choice: TrainedTensors,
    adapters: Option<LowRank>,
}

impl Subject {
    fn parts(&self) -> anyhow::Result<TrainedParts> {
        parts(&self.model, &self.choice)
    }

    /// The model with `values` where they are trained, and without adapters.
    fn with(&self, values: &Flat) -> anyhow::Result<MoeModel> {
        let mut weights = self.model.weights().clone();
        self.parts()?.write(&values.0, &mut weights)?;
        if let Some(adapters) = &self.adapters {
            adapters.merge(&mut weights)?;
        }
        Ok(MoeModel::new(self.model.config().clone(), weights, None)?)
    }
}

/// Who makes the rounds of a phase.
enum Rounds {
    Apart(Box<Cohort>),
    Together(Box<MoeTrainer>, Flat),
}

impl Rounds {
    fn global(&self) -> &Flat {
        match self {
            Self::Apart(cohort) => &cohort.global,
            Self::Together(_, global) => global,
        }
    }

    /// One round, or the central trainer's steps of that number. Returns the mean loss.
    fn round(&mut self, phase: &Phase, round: u32) -> anyhow::Result<f32> {
        match self {
            Self::Apart(cohort) => Ok(cohort.round(round)?.loss),
            Self::Together(trainer, global) => {
                trainer.set_plan(phase.central(round));
                let trained = trainer.train(global, &LocalRule::Plain, DEADLINE)?;
                global.0.iter_mut().zip(&trained.update.0).for_each(|(value, step)| *value += step);
                Ok(trained.loss)
            }
        }
    }
}

fn parts(model: &MoeModel, choice: &TrainedTensors) -> anyhow::Result<TrainedParts> {
    Ok(TrainedParts::of(model.config(), model.weights(), choice)?)
}

/// `model` with `values` in the place of `parts`.
///
/// # Errors
/// Values of another length.
pub fn with(model: &MoeModel, parts: &TrainedParts, values: &Flat) -> anyhow::Result<MoeModel> {
    let mut weights = model.weights().clone();
    parts.write(&values.0, &mut weights)?;
    Ok(MoeModel::new(model.config().clone(), weights, None)?)
}

/// As it is stored.
fn rounded(model: &MoeModel) -> anyhow::Result<MoeModel> {
    let mut weights = model.weights().clone();
    weights.round_to_bf16();
    Ok(MoeModel::new(model.config().clone(), weights, None)?)
}
