//! A whole plan is read; what is wrong is named with its line.

use super::*;

const SMALL: &str = "task = \"digits\"\n[model]\nweights = \"a.safetensors\"\n[rounds]\ncount = 5\n";

#[test]
fn a_small_plan_has_the_documented_defaults() {
    let plan = RoundPlan::parse(SMALL).unwrap();
    assert_eq!((plan.task.as_str(), plan.rounds, plan.failures), ("digits", 5, 3));
    assert_eq!((plan.cohort.least, plan.cohort.corrupt_bps, plan.cohort.security_bits), (8, 1000, 40));
    assert_eq!(plan.strategy, StrategySettings::FedAvg { rate: 1.0 });
    assert_eq!(plan.update, UpdatePlan { value_bits: 16, range: 1.0, weight_cap: 1000 });
    assert_eq!((plan.privacy, plan.selection), (None, Selection::All));
    assert_eq!(plan.update.scale(), 32767.0);
}

const WHOLE: &str = r#"
task = "skills"
[model]
weights = "base.safetensors"
tensors = ["*"]
[rounds]
count = 40
[cohort]
least = 16
dropout = 0.3
masks = "chacha20"
[cohort.deadlines]
upload_ms = 600_000
[strategy]
name = "fed_yogi"
rate = 0.05
[privacy]
mode = "distributed"
clip = 0.5
scale = 1000
noise_multiplier = 1.1
delta = 1e-5
most_epsilon = 8
[privacy.adaptive]
bit_noise = 3
[selection]
policy = "random"
batches = 4
[[experts]]
name = "sort"
tensors = ["layers.*.experts.8.*", "router[8]"]
batches = [3, 1]
[[experts]]
name = "reverse"
tensors = ["layers.*.experts.9.*", "router[9]"]
batches = [2]
least = 12
[router]
tensors = ["router"]
rounds = 2
[evaluation]
every = 5
metrics = ["loss", "accuracy"]
[early_stop]
metric = "accuracy"
goal = "greatest"
[training]
epochs = 2
rate = 0.1
name = "sgd"
"#;

#[test]
fn a_whole_plan_is_read() {
    let plan = RoundPlan::parse(WHOLE).unwrap();
    assert_eq!(plan.cohort.generator, Generator::ChaCha20);
    assert_eq!((plan.cohort.dropout_bps, plan.cohort.deadlines.upload_ms), (3000, 600_000));
    assert_eq!(plan.update.weight_cap, 1, "noise knows no weights");
    let privacy = plan.privacy.unwrap();
    assert_eq!((privacy.noise, privacy.most_epsilon), (NoiseBy::Participants, Some(8.0)));
    assert!((privacy.settings(0.5, &[0; 32]).variance - 550.0 * 550.0).abs() < 1e-6);
    assert_eq!(
        plan.experts.iter().map(|e| (e.name.as_str(), e.least)).collect::<Vec<_>>(),
        [("sort", 8), ("reverse", 12)]
    );
    assert_eq!(plan.experts[0].batches, [1, 3]);
    assert_eq!(plan.evaluation.unwrap().metrics, ["accuracy", "loss"]);
    assert_eq!(plan.training["epochs"], 2);
}

#[track_caller]
fn refused(text: &str, line: usize, field: &str) {
    let error = RoundPlan::parse(text).unwrap_err();
    assert_eq!((error.line, error.field.as_str()), (line, field), "{error}");
    assert!(!error.expected.is_empty() && !error.got.is_empty(), "{error}");
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let with = |text: &str| format!("{SMALL}{text}");
    refused("task = 3\n[model]\n", 1, "rounds");
    refused(&SMALL.replace("\"digits\"", "3"), 1, "task");
    refused(&SMALL.replace("\"digits\"", "\"dïgits\""), 1, "task");
    refused(&SMALL.replace("count = 5", "count = 0"), 5, "rounds.count");
    refused(&SMALL.replace("count = 5", "count = 5.5"), 5, "rounds.count");
    refused(&SMALL.replace("count = 5", "cuont = 5"), 4, "rounds.count");
    refused(&with("[cohort]\nleast = 2\n"), 7, "cohort.least");
    refused(&with("[cohort]\nmost = 10\nleast = 20\n"), 8, "cohort.least");
    refused(&with("[cohort]\ncorrupt = 1.0\n"), 7, "cohort.corrupt");
    refused(&with("[cohort.deadlines]\njoin_ms = -1\n"), 7, "cohort.deadlines.join_ms");
    refused(&with("[strategy]\nname = \"fedavg\"\n"), 7, "strategy.name");
    refused(&with("[strategy]\nrate = nan\n"), 7, "strategy.rate");
    refused(&with("[strategy]\nname = \"fed_prox\"\n"), 6, "strategy.mu");
    refused(&with("[strategy]\nmu = 0.1\n"), 7, "strategy.mu");
    refused(&with("[strategy]\nname = \"scaffold\"\n[update]\nweight_cap = 2\n"), 9, "update.weight_cap");
    refused(&with("[update]\nvalue_bits = 33\n"), 7, "update.value_bits");
    refused(
        &with("[privacy]\nmode = \"distributed\"\n"),
        6,
        "privacy.most_epsilon".replace("most_epsilon", "clip").as_str(),
    );
    refused(&with("[robust]\nrule = \"median\"\nshards = 15\nnorm_bound = 1\n"), 8, "robust.shards");
    refused(&with("[[experts]]\nname = \"a\"\ntensors = [\"x\"]\nbatches = [1]\nleast = 1\n"), 10, "experts.least");
    refused(&with("[[experts]]\nname = \"a\"\ntensors = [\"x[\"]\nbatches = [1]\n"), 8, "experts.tensors");
    refused(&with("[router]\ntensors = [\"r\"]\n"), 6, "router");
    refused(&with("[early_stop]\n"), 6, "early_stop");
    refused(&with("[surprise]\n"), 6, "surprise");
    refused(&with("[training]\nx = [1]\n"), 7, "training.x");
    refused(&with("this is no toml"), 6, "the file");
}

#[test]
fn no_cut_of_a_plan_makes_the_reader_fall_over() {
    for length in 0..WHOLE.len() {
        let _ = RoundPlan::parse(&WHOLE[..length]);
    }
}

#[test]
fn more_for_the_trainers_than_a_configuration_holds_is_refused_with_its_line() {
    let long = format!("{SMALL}[training]\nnote = \"{}\"\n", "x".repeat(4096));
    let error = RoundPlan::parse(&long).unwrap_err();
    assert_eq!((error.line, error.field.as_str()), (6, "training"));
    assert!(error.expected.contains("4096 bytes"), "{error}");
    let names: Vec<String> = (0..64).map(|name| format!("\"{name:064}\"")).collect();
    let metrics = format!("{SMALL}[evaluation]\nmetrics = [{}]\n", names.join(", "));
    assert_eq!(RoundPlan::parse(&metrics).unwrap_err().field, "evaluation");
    let long_name = format!("{SMALL}[evaluation]\nmetrics = [\"{}\"]\n", "x".repeat(65));
    assert_eq!(RoundPlan::parse(&long_name).unwrap_err().field, "evaluation.metrics");
}
