//! Workers that break the protocol: the answer to the user stays right, they are disconnected, and they cannot come
//! back at once.

use neuro_network::control::ControlErrorKind;
use neuro_primitives::{NodeKey, TaskId};
use neuro_protocol::frame::{Answer, Failure, FailureCode, Frame, Hello, MicroTask, Welcome};
use neuro_protocol::version::{ENGINE_SPEC, WIRE_MAX, supported};

use crate::network::{Network, holds_all, is_gone, of, within};
use crate::twin_worker::{Conduct, End, Reply, framed, join_request};

type Lie = fn(&MicroTask, Answer) -> Vec<Reply>;

fn hello(task: &MicroTask) -> Frame {
    Frame::Hello(Hello { versions: supported(), model: task.model, engine_spec: ENGINE_SPEC, d_model: 128 })
}

fn never_sent(mut answer: Answer) -> Vec<Reply> {
    answer.task = TaskId(answer.task.0 + 1_000_000);
    Reply::answer(answer)
}

const VIOLATIONS: [(&str, Lie); 9] = [
    ("answers twice", |_, answer| {
        [Reply::answer(answer.clone()), Reply::answer(answer)].into_iter().flatten().collect()
    }),
    ("never asked", |_, answer| never_sent(answer)),
    ("refuses the unasked", |task, _| {
        let other = TaskId(task.task.0 + 1_000_000);
        vec![Reply::Frame(Frame::Failure(Failure::new(Some(other), FailureCode::Expired, "no")))]
    }),
    ("noise", |_, _| vec![Reply::Raw(framed(&[0xee; 40]))]),
    ("empty frame", |_, _| vec![Reply::Raw(vec![0; 4])]),
    ("over the limit", |_, _| vec![Reply::Raw(vec![0xff; 64])]),
    ("hello", |task, _| vec![Reply::Frame(hello(task))]),
    ("task", |task, _| vec![Reply::Frame(Frame::Task(task.clone()))]),
    ("welcome again", |_, _| vec![Reply::Frame(Frame::Welcome(Welcome { version: WIRE_MAX }))]),
];

#[tokio::test(flavor = "multi_thread")]
async fn who_breaks_the_protocol_is_put_out_and_kept_out() {
    let network = Network::start().await;
    let _honest = network.worker("honest").await;
    for (name, lie) in VIOLATIONS {
        let mut twin = network.twin(Conduct::lying(name, lie)).await;
        network.until("all experts", |status| of(status, name).is_some_and(holds_all)).await;
        while twin.tasks() == 0 {
            assert_eq!(network.ask().await, "47", "with {name}");
        }
        let end = twin.end().await;
        assert!(matches!(&end, End::Told(reason) if !reason.is_empty()), "{name}: {end:?}");
        let status = network.until("its leaving", |status| of(status, name).is_some_and(is_gone)).await;
        assert!(of(&status, name).unwrap().faults > 0, "{name}");
        let client = &twin.client;
        let refused = client.join(join_request(name, &network.addresses.ticket)).await.unwrap_err();
        assert_eq!(refused.kind, ControlErrorKind::NotAllowed, "{name}");
        assert!(refused.message.contains("turned away for another"), "{name}: {refused}");
        let refused = within("attending", client.attend(futures::stream::pending())).await.err().unwrap();
        assert_eq!(refused.kind, ControlErrorKind::NotAllowed, "{name}");
        assert_eq!(network.ask().await, "47", "without {name}");
    }
    assert_eq!(of(&network.status().await, "honest").unwrap().faults, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_greeting_that_is_none_keeps_a_worker_out() {
    let network = Network::start().await;
    let _honest = network.worker("honest").await;
    type Greeting = fn(&Hello) -> Vec<u8>;
    let greetings: [(&str, Greeting, &str); 4] = [
        (
            "another version",
            |_| framed(&Frame::Welcome(Welcome { version: 9 }).encode()),
            "version 9, this node 3 to 3",
        ),
        ("noise", |_| framed(&[0xee; 40]), "kind 1 to 6, got 238"),
        ("over the limit", |_| vec![0xff; 64], "at most"),
        ("hello back", |hello| framed(&Frame::Hello(hello.clone()).encode()), "where a welcome belongs"),
    ];
    for (name, greeting, words) in greetings {
        let conduct = Conduct { greeting: Box::new(greeting), ..Conduct::lying(name, |_, _| vec![]) };
        let key = NodeKey::generate().unwrap();
        let again = NodeKey::from_secret(key.secret().as_ref().try_into().unwrap());
        let refused = network.twin_with(key, conduct).await.err().unwrap();
        assert_eq!(refused.kind, ControlErrorKind::NotAllowed, "{name}: {refused}");
        assert!(refused.message.contains(words), "{name}: {refused}");
        let client = network.client(&again).await;
        let refused = client.join(join_request(name, &network.addresses.ticket)).await.unwrap_err();
        assert!(refused.message.contains("turned away for another"), "{name}: {refused}");
    }
    assert_eq!(network.ask().await, "47");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_refuses_the_greeting_says_why_and_may_try_again() {
    let network = Network::start().await;
    let key = NodeKey::generate().unwrap();
    for _ in 0..2 {
        let again = NodeKey::from_secret(key.secret().as_ref().try_into().unwrap());
        let refusal = |hello: &Hello| {
            let text = format!("expected model 00ff, got {}", hello.model);
            framed(&Frame::Failure(Failure::new(None, FailureCode::WrongModel, &text)).encode())
        };
        let conduct = Conduct { greeting: Box::new(refusal), ..Conduct::lying("other model", |_, _| vec![]) };
        let refused = network.twin_with(again, conduct).await.err().unwrap();
        assert_eq!(refused.kind, ControlErrorKind::Unavailable);
        let model = network.status().await.model.unwrap().id;
        assert!(refused.message.contains("00ff") && refused.message.contains(&model), "{refused}");
    }
}
