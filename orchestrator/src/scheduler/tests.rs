//! Choices of holders against the best possible ones.

use super::*;

const IDLE: Lane = Lane { start_us: 500, tasks: 0 };

fn item(choices: &[(usize, u64)]) -> Item {
    Item { choices: choices.iter().map(|(lane, cost_us)| Choice { lane: *lane, cost_us: *cost_us }).collect() }
}

/// Lanes, items and the lanes that the items must get.
fn check(lanes: &[Lane], items: &[Item], expected: &[usize]) {
    assert_eq!(assign(lanes, items), expected, "{lanes:?} {items:?}");
}

#[test]
fn two_idle_workers_in_parallel_when_computing_dominates() {
    let both = item(&[(0, 400), (1, 400)]);
    check(&[IDLE; 2], &[both.clone(), both], &[0, 1]);
}

#[test]
fn one_worker_when_a_message_costs_more_than_computing() {
    let both = item(&[(0, 20), (1, 20)]);
    check(&[IDLE; 2], &[both.clone(), both], &[0, 0]);
}

#[test]
fn the_worker_that_finishes_first_even_when_it_is_busy() {
    let slow = Lane { start_us: 9_000, tasks: 0 };
    let busy = Lane { start_us: 2_000, tasks: 3 };
    check(&[slow, busy], &[item(&[(0, 100), (1, 100)])], &[1]);
}

#[test]
fn ties_go_to_fewer_tasks_and_then_to_the_lowest_id() {
    let busy = Lane { start_us: 500, tasks: 1 };
    let anywhere = item(&[(0, 100), (1, 100), (2, 100)]);
    check(&[busy, IDLE, IDLE], std::slice::from_ref(&anywhere), &[1]);
    check(&[IDLE, IDLE, IDLE], &[anywhere], &[0]);
}

#[test]
fn experts_without_a_choice_are_placed_first() {
    check(&[IDLE; 2], &[item(&[(0, 400), (1, 400)]), item(&[(0, 400)])], &[1, 0]);
}

#[test]
fn a_small_expert_joins_a_message_that_is_sent_anyway() {
    let items = [item(&[(0, 400)]), item(&[(1, 100)]), item(&[(1, 10), (2, 10)])];
    check(&[IDLE; 3], &items, &[0, 1, 1]);
}

#[test]
fn a_far_worker_is_left_out_even_when_the_near_one_computes_longer() {
    let far = Lane { start_us: 30_000, tasks: 0 };
    let items = vec![item(&[(0, 400), (1, 400)]); 8];
    check(&[far, IDLE], &items, &[1; 8]);
}

fn random(state: &mut u64, below: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

fn objective(lanes: &[Lane], items: &[Item], chosen: &[Choice]) -> u64 {
    assert_eq!(items.len(), chosen.len());
    let work = |lane| chosen.iter().filter(|choice| choice.lane == lane).map(|choice| choice.cost_us).sum::<u64>();
    let used: Vec<usize> = (0..lanes.len()).filter(|lane| chosen.iter().any(|choice| choice.lane == *lane)).collect();
    let slowest = used.iter().map(|lane| lanes[*lane].start_us + work(*lane)).max().unwrap();
    slowest + MESSAGE_US * used.len() as u64
}

fn best(lanes: &[Lane], items: &[Item], chosen: &mut Vec<Choice>) -> u64 {
    if chosen.len() == items.len() {
        return objective(lanes, items, chosen);
    }
    let choices = &items[chosen.len()].choices;
    let costs = choices.iter().map(|choice| {
        chosen.push(*choice);
        let cost = best(lanes, items, chosen);
        chosen.pop();
        cost
    });
    costs.min().unwrap()
}

#[test]
fn small_calls_come_near_the_optimum() {
    let (mut worst, mut total, mut optimum) = (0.0_f64, 0, 0);
    for seed in 0..400 {
        let mut state = seed;
        let lanes: Vec<Lane> = (0..4).map(|_| Lane { start_us: 200 + random(&mut state, 1_000), tasks: 0 }).collect();
        let items: Vec<Item> = (0..7)
            .map(|_| {
                let first = random(&mut state, 4);
                let second = (first + 1 + random(&mut state, 3)) % 4;
                let mut pair =
                    [(first as usize, 50 + random(&mut state, 500)), (second as usize, 50 + random(&mut state, 500))];
                pair.sort_unstable();
                item(&pair)
            })
            .collect();
        let lane_of = assign(&lanes, &items);
        let chosen: Vec<Choice> = items
            .iter()
            .zip(lane_of)
            .map(|(item, lane)| *item.choices.iter().find(|choice| choice.lane == lane).expect("a holder"))
            .collect();
        let (got, least) = (objective(&lanes, &items, &chosen), best(&lanes, &items, &mut Vec::new()));
        worst = worst.max(got as f64 / least as f64);
        (total, optimum) = (total + got, optimum + least);
    }
    assert!(worst < 1.35, "one call took {worst} times the optimum");
    assert!(total * 100 < optimum * 104, "all calls took {total} where {optimum} was possible");
}
