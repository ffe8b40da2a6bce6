//! What stragglers cost a layer, with backups and re-issues, the deadlines and the checks of the product.

use neuro_simulation::swarm::latency::{Experiment, LayerTimes, Stragglers, p99_ratio};

fn check(experiment: Experiment, most: f64) -> LayerTimes {
    let (ratio, with, without) = p99_ratio(experiment);
    println!("{experiment:?}: {ratio:.2}, {with:?} against {without:?}");
    assert!(ratio <= most, "{ratio:.2} times as long, {most} at most: {with:?} against {without:?}");
    assert!(with.extra_load() <= 0.1 && without.extra_load() <= 0.1, "{with:?} {without:?}");
    with
}

#[test]
fn one_task_in_twenty_that_stalls_costs_a_layer_less_than_twice_its_time() {
    for seed in 1..=2 {
        let stragglers = Stragglers::Tasks(5);
        let with = check(Experiment { fan_out: 4, stragglers, backups_percent: 10, seed }, 1.9);
        assert!(with.backups > 2_000, "{with:?}");
    }
}

#[test]
fn of_eight_tasks_in_parallel_one_that_stalls_costs_no_more() {
    let stragglers = Stragglers::Tasks(5);
    check(Experiment { fan_out: 8, stragglers, backups_percent: 10, seed: 1 }, 2.0);
}

#[test]
fn without_backups_re_issues_at_twice_the_p90_do_as_well() {
    let stragglers = Stragglers::Tasks(5);
    let with = check(Experiment { fan_out: 8, stragglers, backups_percent: 0, seed: 1 }, 2.0);
    assert!(with.backups == 0 && with.reissues > 2_000, "{with:?}");
}

#[test]
fn workers_that_are_always_slow_are_left_alone() {
    for seed in 1..=2 {
        check(Experiment { fan_out: 4, stragglers: Stragglers::Workers(5), backups_percent: 10, seed }, 1.2);
    }
}
