//! Times by hand, ends and panics, and what a hook may do to messages.

use super::*;

const MS: Duration = Duration::from_millis(1);

/// 10 ms from end to end, a byte takes 1 ms.
const SLOW: NetworkModel = NetworkModel {
    delay: Duration::from_millis(10),
    bytes_per_second: Some(1000),
    count_computing: false,
    deadline: Duration::from_secs(7),
};

fn message(step: u64, body: &[u8]) -> Message {
    Message { step, part: 0, name: "test", body: body.to_vec() }
}

/// Each sends `body` to the next party and waits for that of the one before, `times` times.
fn ring(party: PartyId, link: &mut Link, body: &[u8], times: u64) -> Result<Vec<Message>, ChannelError> {
    (0..times)
        .map(|step| {
            link.send(party.next(), message(step, body))?;
            link.receive(party.previous())
        })
        .collect()
}

fn tampered(tampering: impl Tampering + 'static, messages: u64) -> Vec<Result<(u64, Vec<u8>), ChannelError>> {
    let links = tampered_network(NetworkModel::INSTANT, tampering);
    let [_, (received, _), _] = run_over(links, |party, link| match party.index() {
        0 => {
            (0..messages).map(|step| link.send(PartyId::ALL[1], message(step, &[7])).map(|()| (step, vec![]))).collect()
        }
        1 => (0..4).map(|_| link.receive(PartyId::ALL[0]).map(|got| (got.step, got.body))).collect(),
        _ => Vec::new(),
    });
    received
}

#[test]
fn a_ring_takes_a_delay_and_a_body_each_round() {
    let runs = run_over(network(SLOW), |party, link| ring(party, link, &[1, 2, 3, 4], 5).map(|got| got.len()));
    for (party, (result, traffic)) in PartyId::ALL.into_iter().zip(runs) {
        assert_eq!(result, Ok(5));
        assert_eq!(traffic.rounds, 5);
        // 4 ms until it is out, 10 ms on its way, five times.
        assert_eq!(traffic.elapsed, 5 * 14 * MS);
        assert_eq!(traffic.waited, traffic.elapsed);
        assert_eq!((traffic.messages[party.next().index()], traffic.bytes[party.next().index()]), (5, 20));
        assert_eq!((traffic.total_messages(), traffic.total_bytes()), (5, 20));
    }
}

#[test]
fn messages_of_one_direction_go_out_one_after_the_other() {
    let runs = run_over(network(SLOW), |party, link| {
        match party.index() {
            // Out at 3 and 5 ms, there at 13 and 15; those of the other direction do not hold them up.
            0 => {
                link.send(PartyId::ALL[1], message(0, &[0; 3])).unwrap();
                link.send(PartyId::ALL[2], message(0, &[0; 8])).unwrap();
                link.send(PartyId::ALL[1], message(1, &[0; 2])).unwrap();
            }
            1 => {
                link.receive(PartyId::ALL[0]).unwrap();
                assert_eq!(link.traffic().elapsed, 13 * MS);
                link.receive(PartyId::ALL[0]).unwrap();
                assert_eq!(link.traffic().elapsed, 15 * MS);
                link.send(PartyId::ALL[2], message(2, &[0])).unwrap();
            }
            // From P_0 at 18 ms; from P_1 sent at 15, out at 16, there at 26.
            _ => {
                link.receive(PartyId::ALL[0]).unwrap();
                assert_eq!(link.traffic().elapsed, 18 * MS);
                link.receive(PartyId::ALL[1]).unwrap();
            }
        }
        link.traffic()
    });
    let [_, (second, _), (third, _)] = runs;
    assert_eq!((second.rounds, third.rounds, third.elapsed), (1, 2, 26 * MS));
}

#[test]
fn computing_counts_and_waiting_is_not_slept() {
    let started = std::time::Instant::now();
    let model = NetworkModel { delay: Duration::from_secs(3600), ..NetworkModel::FAR };
    let runs = run_over(network(model), |party, link| {
        let sum = (0..3_000_000_u64).fold(0, |sum: u64, x| sum.rotate_left(3) ^ x);
        ring(party, link, &sum.to_le_bytes(), 2).map(drop)
    });
    for (result, traffic) in runs {
        assert_eq!(result, Ok(()));
        assert!(traffic.elapsed > traffic.waited && traffic.elapsed > Duration::from_secs(7200));
    }
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[test]
fn who_ends_or_panics_is_lost_to_the_others() {
    let results = run_three(|party, link| match party.index() {
        0 => Err(ChannelError::Aborted { peer: party }),
        _ => link.receive(PartyId::ALL[0]).map(drop),
    });
    let lost = Err(ChannelError::Lost { peer: PartyId::ALL[0] });
    assert_eq!(results[1..], [lost.clone(), lost]);

    let panic = std::panic::catch_unwind(|| {
        run_three(|party, link| match party.index() {
            0 => panic!("on purpose"),
            _ => assert!(link.receive(PartyId::ALL[0]).is_err()),
        })
    });
    assert_eq!(panic.err().and_then(|panic| panic.downcast_ref().copied()), Some("on purpose"));
}

#[test]
fn what_was_sent_before_the_end_still_arrives() {
    let results = run_three(|party, link| match party.index() {
        0 => link.send(PartyId::ALL[1], message(9, &[])).map(|()| 0),
        _ if party.index() == 1 => {
            assert_eq!(link.receive(PartyId::ALL[2]).err(), Some(ChannelError::Lost { peer: PartyId::ALL[2] }));
            link.receive(PartyId::ALL[0]).map(|got| got.step)
        }
        _ => Ok(0),
    });
    assert_eq!(results[1], Ok(9));
}

#[test]
fn parties_that_wait_for_each_other_are_late() {
    let results = run_over(network(SLOW), |party, link| link.receive(party.next()).map(drop));
    for (party, (result, traffic)) in PartyId::ALL.into_iter().zip(results) {
        let late = ChannelError::Late { peer: party.next(), name: "start", deadline_ms: 7000 };
        assert_eq!((result, traffic.elapsed), (Err(late), SLOW.deadline));
    }
}

#[test]
fn a_queue_has_an_end() {
    let [mut first, _second, _third] = network(NetworkModel::INSTANT);
    for step in 0..switch::QUEUE_MESSAGES as u64 {
        first.send(PartyId::ALL[1], message(step, &[])).unwrap();
    }
    assert_eq!(first.send(PartyId::ALL[1], message(0, &[])), Err(ChannelError::Lost { peer: PartyId::ALL[1] }));
    assert_eq!(first.send(PartyId::ALL[2], message(0, &[])), Ok(()));
}

#[test]
fn a_message_can_be_changed_lost_doubled_swapped_and_replayed() {
    let lost = Err(ChannelError::Lost { peer: PartyId::ALL[0] });
    let check = |tampering: fn(&mut Message) -> Fate, expected: [(u64, u8); 3]| {
        let hook = move |from: PartyId, to: PartyId, message: &mut Message| {
            assert_eq!((from.index(), to.index(), message.name), (0, 1, "test"));
            tampering(message)
        };
        let expected = expected.map(|(step, byte)| Ok((step, vec![byte])));
        assert_eq!(tampered(hook, 3)[..3], expected);
    };
    check(|_| Fate::Deliver, [(0, 7), (1, 7), (2, 7)]);
    check(
        |message| {
            message.body[0] ^= u8::from(message.step == 1);
            Fate::Deliver
        },
        [(0, 7), (1, 6), (2, 7)],
    );
    check(|message| if message.step == 0 { Fate::HoldBack } else { Fate::Deliver }, [(1, 7), (0, 7), (2, 7)]);
    check(|message| if message.step == 1 { Fate::Duplicate } else { Fate::Deliver }, [(0, 7), (1, 7), (1, 7)]);
    check(|_| Fate::Follow(Message { step: 9, part: 0, name: "test", body: vec![1] }), [(0, 7), (9, 1), (1, 7)]);
    assert_eq!(tampered(|_, _, _: &mut Message| Fate::Drop, 1), vec![lost; 4]);
}
