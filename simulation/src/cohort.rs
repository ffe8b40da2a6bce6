//! One cohort's round: announcements go out, messages come back at once, and time passes when nothing else does.

use std::sync::Arc;

use neuro_secagg::messages::EndReason;

use crate::cast::Cast;
use crate::report::{Bytes, CohortReport, ParticipantCost, median};
use crate::seat::{Scene, Seat, Seats};
use crate::server::Server;
use crate::{SimulationError, SimulationPlan, Updates, verify};

/// Cohort `number` from its configuration to its end.
pub(crate) fn run(
    plan: &SimulationPlan,
    cast: &Cast,
    number: u16,
    updates: &dyn Updates,
) -> Result<CohortReport, SimulationError> {
    let config = cast.config(plan, number, updates);
    let scene = Scene { plan, cast, updates, config, shared: Arc::default() };
    let mut seats = seats(&scene, number);
    let mut server = Server::new(&scene)?;
    server.start(&mut seats)?;
    loop {
        while let Some((to, post)) = server.next_letter() {
            let Some(seat) = seats.get_mut(&to) else { continue };
            for message in seat.receive(&scene, &post)? {
                server.take(to, message, &mut seats)?;
            }
        }
        if server.end.is_some() {
            return report(&scene, number, server, &seats);
        }
        server.wait(&mut seats)?;
    }
}

fn seats(scene: &Scene<'_>, number: u16) -> Seats {
    let lost = scene.cast.lost(scene.plan, number);
    let members = scene.plan.members_of(number);
    let mut alone = scene.plan.alone.unwrap_or(u16::MAX);
    let seat = |participant| {
        let node = scene.cast.key(participant).node_id();
        let lost = lost.get(&node).copied();
        let is_alone = alone > 0;
        // Who is lost shows nothing of what a round costs.
        alone -= u16::from(is_alone && lost.is_none());
        (node, Seat::new(participant, lost, is_alone))
    };
    members.map(seat).collect()
}

/// Checks the sum, if there is one, and takes the figures together.
fn report(scene: &Scene<'_>, number: u16, server: Server<'_>, seats: &Seats) -> Result<CohortReport, SimulationError> {
    let survivors = server.survivors(seats);
    let check = |sum: &Vec<i64>| match scene.updates.private() {
        Some(private) => {
            let honest_at_least = scene.honest_at_least(server.n());
            verify::check_private(scene, private, &survivors, server.modulus()?, honest_at_least, sum)
        }
        None => verify::check(scene.plan, scene.updates, &survivors, sum),
    };
    let max_abs_error = server.result.as_ref().map(check).transpose()?;
    let end = server.end.as_ref();
    let weight = end.and_then(|end| if let EndReason::Done { weight, .. } = end { Some(*weight) } else { None });
    let stayed: Vec<&Seat> = seats.values().filter(|seat| seat.counts()).collect();
    let numbers = server.numbers;
    let number_of = |figure: fn(&neuro_secagg::aggregator::CohortNumbers) -> u16| numbers.as_ref().map_or(0, figure);
    Ok(CohortReport {
        cohort: number,
        called: scene.plan.members_of(number).len() as u32,
        n: number_of(|numbers| numbers.n),
        k: number_of(|numbers| numbers.k),
        t: number_of(|numbers| numbers.t),
        q: number_of(|numbers| numbers.q),
        modulus_bits: numbers.map_or(0, |numbers| numbers.modulus_bits),
        alpha: server.alpha(),
        survivors: survivors.len(),
        end: end.map_or_else(String::new, name_of),
        weight,
        max_abs_error,
        epsilon: seats.values().find_map(|seat| seat.told_epsilon),
        expansions: server.expansions,
        participant: ParticipantCost {
            protocol_s: median(stayed.iter().map(|seat| seat.cost.protocol_s)),
            masking_s: median(stayed.iter().map(|seat| seat.cost.masking_s)),
        },
        bytes: Bytes::median(&stayed.iter().map(|seat| &seat.bytes).collect::<Vec<_>>()),
        transcript: server.transcript().to_string(),
        phases: server.phases.clone(),
        server: server.cost(),
    })
}

/// The reason's name, with its numbers where it has any.
fn name_of(end: &EndReason) -> String {
    match end {
        EndReason::Done { .. } => "Done".to_owned(),
        other => format!("{other:?}"),
    }
}
