//! Forms of frames by hand, and everything that a decoder must refuse.

use neuro_primitives::{ActivationFormat, Activations, Hash, ModelId, QuantisedRows, Route, Routes, RowSum, Rows};

use super::*;
use crate::limits::{
    MAX_D_MODEL, MAX_DIGESTS_PER_ANSWER, MAX_ERROR_TEXT_BYTES, MAX_FAILURE_BYTES, MAX_HELLO_BYTES, MAX_ROUTES_PER_ROW,
    MAX_ROWS_PER_TASK, MAX_WELCOME_BYTES, answer_frame_limit, task_frame_limit,
};

fn routes(rows: &[&[(u16, f32)]]) -> Routes {
    let mut routes = Routes::new();
    for row in rows {
        routes.push_row(row.iter().map(|&(expert, gate)| Route { expert, gate }));
    }
    routes
}

fn task(routes: Routes, hidden: impl Into<Activations>) -> MicroTask {
    MicroTask {
        task: TaskId(7),
        model: ModelId(Hash([9; 32])),
        engine_spec: 2,
        layer: 3,
        deadline_left_ms: 250,
        routes,
        hidden: hidden.into(),
    }
}

/// Two rows of 3 values, the last of which is `last`.
fn task_ending_in(last: f32) -> MicroTask {
    let hidden = Rows::new(3, vec![0.0, 0.0, 0.0, 0.0, 0.0, last]);
    task(routes(&[&[(1, 0.5), (4, 0.25)], &[(2, 1.0)]]), hidden)
}

fn small_task() -> MicroTask {
    task_ending_in(0.0)
}

/// Two rows of 64 values in blocks: scales 1.0, 0.5, 0.25, 0.0; the values of a row count down from 127.
fn task_in_blocks() -> MicroTask {
    let values = (0..128_u8).map(|place| 127 - (place % 64).cast_signed()).collect();
    let hidden = QuantisedRows::new(64, values, vec![1.0, 0.5, 0.25, 0.0]);
    task(routes(&[&[(1, 0.5), (4, 0.25)], &[(2, 1.0)]]), Activations::Q8(hidden))
}

fn answer(sums: Vec<RowSum>) -> Answer {
    Answer { task: TaskId(7), compute_us: 11, sums, digests: vec![Hash([5; 32]); 3] }
}

fn small_answer() -> Answer {
    answer(vec![RowSum::Many(vec![1, -2, 3]), RowSum::One(vec![0.5, -0.0, 1e6])])
}

fn hello() -> Hello {
    Hello { versions: 1..=2, model: ModelId(Hash([9; 32])), engine_spec: 2, d_model: 64 }
}

/// The payload of `frame` with `bytes` in place of those at `at`.
fn patched(frame: &Frame, at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut payload = frame.encode();
    payload[at..at + bytes.len()].copy_from_slice(bytes);
    payload
}

fn refused(payload: &[u8]) -> DecodeError {
    Frame::decode(payload).expect_err("a bad payload was accepted")
}

// Places in a task's payload: kind, task, model, engine, layer, deadline come before.
const FORMAT_AT: usize = 1 + 8 + 32 + 4 + 2 + 4;
const ROWS_AT: usize = FORMAT_AT + 2;
const WIDTH_AT: usize = ROWS_AT + 2;
const ROUTES_AT: usize = WIDTH_AT + 4;

/// Where the hidden states of the tasks above begin, which have rows with two routes and with one.
const HIDDEN_AT: usize = ROUTES_AT + (2 + 2 * 6) + (2 + 6);

/// A row of 64 values in blocks: two scales and the values.
const ROW_BYTES: usize = 2 * 4 + 64;

#[test]
fn a_task_lies_on_the_wire_as_specified() {
    let task = task_ending_in(1.0);
    let expected = [
        &[3, 7, 0, 0, 0, 0, 0, 0, 0][..],
        &[9; 32],
        &[2, 0, 0, 0, 3, 0, 250, 0, 0, 0, 1, 0, 2, 0, 3, 0, 0, 0],
        &[2, 0, 1, 0, 0, 0, 0, 0x3f, 4, 0, 0, 0, 0x80, 0x3e],
        &[1, 0, 2, 0, 0, 0, 0x80, 0x3f],
        &[0; 20],
        &[0, 0, 0x80, 0x3f],
    ];
    assert_eq!(Frame::Task(task).encode(), expected.concat());
}

#[test]
fn a_task_in_blocks_lies_on_the_wire_as_specified() {
    let values: Vec<u8> = (64..=127).rev().collect();
    let expected = [
        &[3, 7, 0, 0, 0, 0, 0, 0, 0][..],
        &[9; 32],
        &[2, 0, 0, 0, 3, 0, 250, 0, 0, 0, 2, 0, 2, 0, 64, 0, 0, 0],
        &[2, 0, 1, 0, 0, 0, 0, 0x3f, 4, 0, 0, 0, 0x80, 0x3e],
        &[1, 0, 2, 0, 0, 0, 0x80, 0x3f],
        &[0, 0, 0x80, 0x3f, 0, 0, 0, 0x3f],
        &values,
        &[0, 0, 0x80, 0x3e, 0, 0, 0, 0],
        &values,
    ];
    assert_eq!(Frame::Task(task_in_blocks()).encode(), expected.concat());
}

#[test]
fn an_answer_lies_on_the_wire_as_specified() {
    let answer = answer(vec![RowSum::Many(vec![-1]), RowSum::One(vec![1.0])]);
    let expected = [
        &[4, 7, 0, 0, 0, 0, 0, 0, 0, 11, 0, 0, 0, 2, 0, 1, 0, 0, 0][..],
        &[2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[1, 0, 0, 0x80, 0x3f],
        &[3, 0],
        &[5; 96],
    ];
    assert_eq!(Frame::Answer(answer).encode(), expected.concat());
}

#[test]
fn small_frames_lie_on_the_wire_as_specified() {
    assert_eq!(Frame::Welcome(Welcome { version: 1 }).encode(), [2, 1, 0]);
    assert_eq!(Frame::Cancel(TaskId(0x0102)).encode(), [5, 2, 1, 0, 0, 0, 0, 0, 0]);
    let failure = Failure::new(None, FailureCode::Overloaded, "full");
    assert_eq!(Frame::Failure(failure).encode(), b"\x06\0\x07\0\x04\0\0\0full");
    let expected = [&[1, 1, 0, 2, 0][..], &[9; 32], &[2, 0, 0, 0, 64, 0, 0, 0]].concat();
    assert_eq!(Frame::Hello(hello()).encode(), expected);
}

#[test]
fn every_frame_comes_back() {
    for frame in [
        Frame::Hello(hello()),
        Frame::Welcome(Welcome { version: u16::MAX }),
        Frame::Task(small_task()),
        Frame::Task(task_in_blocks()),
        Frame::Answer(small_answer()),
        Frame::Cancel(TaskId(u64::MAX)),
        Frame::Failure(Failure::new(Some(TaskId(1)), FailureCode::BadTask, "layer 9 of 4")),
        Frame::Failure(Failure::new(None, FailureCode::Unknown(900), "")),
    ] {
        assert_eq!(Frame::decode(&frame.encode()), Ok(frame));
    }
}

#[test]
fn no_frame_can_be_cut_or_followed() {
    let tasks = [small_task(), task_in_blocks()].map(Frame::Task);
    for frame in [Frame::Hello(hello()), Frame::Answer(small_answer())].into_iter().chain(tasks) {
        let payload = frame.encode();
        for length in 0..payload.len() {
            assert!(
                matches!(refused(&payload[..length]), DecodeError::Codec(CodecError::Truncated { .. })),
                "{length}"
            );
        }
        let trailing = DecodeError::Codec(CodecError::Trailing { left: 1 });
        assert_eq!(refused(&[payload.as_slice(), &[0]].concat()), trailing);
    }
}

#[test]
fn kinds_and_formats_of_other_versions_are_refused() {
    assert_eq!(refused(&[0]), DecodeError::Kind { got: 0 });
    assert_eq!(refused(&[7, 0, 0]), DecodeError::Kind { got: 7 });
    let task = Frame::Task(small_task());
    for got in [0, 3, 9, u16::MAX] {
        assert_eq!(refused(&patched(&task, FORMAT_AT, &got.to_le_bytes())), DecodeError::Activation { got });
    }
    let answer = Frame::Answer(small_answer());
    assert_eq!(refused(&patched(&answer, 19, &[3])), DecodeError::RowKind { row: 0, got: 3 });
    assert!(!DecodeError::Kind { got: 0 }.is_retryable());
}

#[test]
fn a_hello_states_a_range_and_a_width_that_can_be() {
    let frame = Frame::Hello(hello());
    assert_eq!(refused(&patched(&frame, 1, &[3, 0])), DecodeError::Versions { got: RangeInclusive::new(3, 2) });
    for width in [0, MAX_D_MODEL as u32 + 1, u32::MAX] {
        let payload = patched(&frame, 41, &width.to_le_bytes());
        assert!(matches!(refused(&payload), DecodeError::Size { .. }), "{width}");
    }
}

#[test]
fn counts_of_a_task_stay_within_their_limits() {
    let frame = Frame::Task(small_task());
    let size = |what, limit, got| DecodeError::Size { what, limit, got };
    for rows in [0_u16, 513, u16::MAX] {
        let got = refused(&patched(&frame, ROWS_AT, &rows.to_le_bytes()));
        assert_eq!(got, size("rows", MAX_ROWS_PER_TASK, rows.into()));
    }
    for width in [0, 32_769, u32::MAX] {
        let got = refused(&patched(&frame, WIDTH_AT, &width.to_le_bytes()));
        assert_eq!(got, size("values of a hidden state", MAX_D_MODEL, width as usize));
    }
    for count in [0_u16, 65, u16::MAX] {
        let got = refused(&patched(&frame, ROUTES_AT, &count.to_le_bytes()));
        assert_eq!(got, size("routes of a row", MAX_ROUTES_PER_ROW, count.into()));
    }
}

#[test]
fn a_count_within_its_limit_but_without_its_bytes_is_refused() {
    let frame = Frame::Task(small_task());
    for payload in [patched(&frame, ROWS_AT, &[0, 2]), patched(&frame, WIDTH_AT, &[0, 0x80, 0, 0])] {
        assert!(Frame::decode(&payload).is_err());
    }
    let frame = Frame::Task(task_in_blocks());
    assert!(Frame::decode(&patched(&frame, WIDTH_AT, &[0, 0x80, 0, 0])).is_err());
    let frame = Frame::Answer(small_answer());
    for payload in [patched(&frame, 13, &[0, 2]), patched(&frame, 15, &[0, 0x80, 0, 0])] {
        assert!(Frame::decode(&payload).is_err());
    }
}

#[test]
fn experts_ascend_and_none_comes_twice() {
    let frame = Frame::Task(small_task());
    for expert in [1_u16, 0] {
        let got = refused(&patched(&frame, ROUTES_AT + 8, &expert.to_le_bytes()));
        assert_eq!(got, DecodeError::ExpertOrder { row: 0, previous: 1, got: expert });
    }
}

#[test]
fn gates_and_hidden_states_are_finite() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let gate = patched(&Frame::Task(small_task()), ROUTES_AT + 10, &value.to_le_bytes());
        assert!(matches!(refused(&gate), DecodeError::Gate { row: 0, expert: 4, .. }), "{value}");
        let hidden = Frame::Task(task_ending_in(value)).encode();
        assert!(matches!(refused(&hidden), DecodeError::Hidden { row: 1, column: 2, .. }), "{value}");
    }
}

#[test]
fn scales_are_finite_and_without_a_sign() {
    let frame = Frame::Task(task_in_blocks());
    for scale in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.0, -0.0, -f32::from_bits(1)] {
        let got = refused(&patched(&frame, HIDDEN_AT + ROW_BYTES + 4, &scale.to_le_bytes()));
        assert!(matches!(got, DecodeError::Scale { row: 1, block: 1, .. }), "{scale}: {got}");
    }
    for scale in [0.0, f32::from_bits(1), f32::MAX] {
        let payload = patched(&frame, HIDDEN_AT + ROW_BYTES + 4, &scale.to_le_bytes());
        assert!(Frame::decode(&payload).is_ok_and(|frame| frame.encode() == payload), "{scale}");
    }
}

#[test]
fn values_in_blocks_are_those_that_rounding_makes() {
    let frame = Frame::Task(task_in_blocks());
    let at = |row: usize, column: usize| HIDDEN_AT + row * ROW_BYTES + 8 + column;
    for (row, column) in [(0, 0), (0, 63), (1, 31), (1, 63)] {
        assert_eq!(refused(&patched(&frame, at(row, column), &[0x80])), DecodeError::Quantised { row, column });
        let least = Frame::decode(&patched(&frame, at(row, column), &[0x81])).unwrap();
        let Frame::Task(MicroTask { hidden: Activations::Q8(hidden), .. }) = least else { panic!("no blocks") };
        assert_eq!(hidden.row(row)[column], -127);
    }
}

#[test]
fn rows_in_blocks_are_whole_blocks() {
    let frame = Frame::Task(task_in_blocks());
    for width in [1_u32, 31, 33, 63, 65, 32_767] {
        let got = refused(&patched(&frame, WIDTH_AT, &width.to_le_bytes()));
        assert_eq!(got, DecodeError::Blocks { width: width as usize });
    }
    for width in [0, 32_800, u32::MAX - 31] {
        let got = refused(&patched(&frame, WIDTH_AT, &width.to_le_bytes()));
        assert!(matches!(got, DecodeError::Size { .. }), "{width}: {got}");
    }
}

#[test]
fn one_format_is_not_read_as_the_other() {
    for (task, code) in [(task_in_blocks(), ActivationFormat::F32), (small_task(), ActivationFormat::Q8)] {
        let payload = patched(&Frame::Task(task), FORMAT_AT, &code.code().to_le_bytes());
        assert!(Frame::decode(&payload).is_err(), "as {code:?}");
    }
}

#[test]
fn the_text_of_a_failure_is_one_bounded_line() {
    let long = "ä".repeat(MAX_ERROR_TEXT_BYTES);
    let failure = Failure { task: None, code: FailureCode::Internal, text: format!("x\u{1b}[2J\n{long}") };
    let Ok(Frame::Failure(got)) = Frame::decode(&Frame::Failure(failure).encode()) else { panic!("no failure") };
    assert!(got.text.starts_with("x [2J ä") && got.text.len() <= MAX_ERROR_TEXT_BYTES);

    let text = |text: &[u8]| [&[6, 0, 1, 0], &(text.len() as u32).to_le_bytes()[..], text].concat();
    assert_eq!(refused(&text(b"a\nb")), DecodeError::ControlCharacters);
    assert!(matches!(refused(&text(&[0xff])), DecodeError::Codec(CodecError::NotUtf8 { .. })));
    assert!(matches!(refused(&text(&[b'a'; 513])), DecodeError::Codec(CodecError::TooMany { got: 513, .. })));
}

#[test]
fn failure_codes_come_back_whatever_the_number() {
    for number in 0..=u16::MAX {
        assert_eq!(FailureCode::from_code(number).code(), number);
    }
    assert!(FailureCode::Overloaded.is_retryable() && FailureCode::NotHeld.is_retryable());
    assert!(!FailureCode::WrongModel.is_retryable() && !FailureCode::Unknown(77).is_retryable());
}

#[test]
fn limits_are_exactly_what_the_largest_frames_take() {
    let row: Vec<(u16, f32)> = (0..MAX_ROUTES_PER_ROW as u16).map(|expert| (expert, 0.5)).collect();
    let full = task(routes(&vec![row.as_slice(); MAX_ROWS_PER_TASK]), Rows::zeros(MAX_ROWS_PER_TASK, 4));
    let payload = Frame::Task(full.clone()).encode();
    assert_eq!(payload.len(), task_frame_limit(4));
    assert_eq!(Frame::decode(&payload), Ok(Frame::Task(full)));
    let digests = vec![Hash([1; 32]); MAX_DIGESTS_PER_ANSWER];
    let full = Answer { digests, ..answer(vec![RowSum::Many(vec![1; 4]); MAX_ROWS_PER_TASK]) };
    assert_eq!(Frame::Answer(full).encode().len(), answer_frame_limit(4));
    let failure = Failure::new(Some(TaskId(1)), FailureCode::Internal, &"x".repeat(2 * MAX_ERROR_TEXT_BYTES));
    assert_eq!(Frame::Failure(failure).encode().len(), MAX_FAILURE_BYTES);
    assert_eq!(Frame::Hello(hello()).encode().len(), 45);
    const { assert!(45 <= MAX_HELLO_BYTES && 3 <= MAX_WELCOME_BYTES && MAX_FAILURE_BYTES <= answer_frame_limit(1)) };
    assert_eq!(task_frame_limit(usize::MAX), task_frame_limit(MAX_D_MODEL));
}

#[test]
fn more_rows_than_a_task_may_have_are_not_accepted() {
    let over = task(routes(&[[(0, 1.0)].as_slice(); 513]), Rows::zeros(513, 1));
    assert!(matches!(refused(&Frame::Task(over).encode()), DecodeError::Size { what: "rows", got: 513, .. }));
    let over = answer(vec![RowSum::One(vec![0.0]); 513]);
    assert!(matches!(refused(&Frame::Answer(over).encode()), DecodeError::Size { what: "rows", got: 513, .. }));
}

#[test]
fn counts_of_digests_that_no_task_has_are_refused() {
    let frame = Frame::Answer(small_answer());
    let at = frame.encode().len() - 3 * 32 - 2;
    for count in [0_u16, 32_769, u16::MAX] {
        let got = refused(&patched(&frame, at, &count.to_le_bytes()));
        assert_eq!(got, DecodeError::Size { what: "digests", limit: MAX_DIGESTS_PER_ANSWER, got: count.into() });
    }
    for (count, left) in [(2_u16, 32), (4, 0)] {
        let got = refused(&patched(&frame, at, &count.to_le_bytes()));
        let wanted = if left > 0 { CodecError::Trailing { left } } else { CodecError::Truncated { needed: 32, left } };
        assert_eq!(got, DecodeError::Codec(wanted));
    }
}

#[test]
fn an_answer_has_one_digest_for_every_route() {
    let routes = small_task().routes;
    for got in [0, 1, 2, 4, 100] {
        let answer = Answer { digests: vec![Hash([0; 32]); got], ..small_answer() };
        assert_eq!(answer.check(&routes, &[2, 1], 3), Err(AnswerError::Digests { expected: 3, got }));
    }
}

#[test]
fn an_answer_that_fits_its_task_is_accepted() {
    assert_eq!(small_answer().check(&small_task().routes, &[2, 1], 3), Ok(()));
}

#[test]
fn an_answer_that_does_not_fit_its_task_is_a_fault() {
    let routes = small_task().routes;
    let many = || RowSum::Many(vec![0; 3]);
    let one = |value| RowSum::One(vec![0.0, value, 0.0]);
    let fault = |sums| answer(sums).check(&routes, &[2, 1], 3).unwrap_err();
    assert_eq!(fault(vec![many()]), AnswerError::Rows { expected: 2, got: 1 });
    assert_eq!(fault(vec![many(), one(0.0), one(0.0)]), AnswerError::Rows { expected: 2, got: 3 });
    assert_eq!(fault(vec![]), AnswerError::Rows { expected: 2, got: 0 });
    assert_eq!(fault(vec![one(0.0), one(0.0)]), AnswerError::Kind { row: 0, routes: 2 });
    assert_eq!(fault(vec![many(), many()]), AnswerError::Kind { row: 1, routes: 1 });
    let narrow = RowSum::Many(vec![0; 2]);
    assert_eq!(fault(vec![narrow, one(0.0)]), AnswerError::Width { row: 0, expected: 3, got: 2 });
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 8_388_608.0, -8_388_608.0] {
        let fault = fault(vec![many(), one(value)]);
        assert!(matches!(fault, AnswerError::Value { row: 1, column: 1, .. }) && fault.is_retryable(), "{value}");
    }
    assert_eq!(answer(vec![many(), one(8_388_607.5)]).check(&routes, &[2, 1], 3), Ok(()));
}

#[test]
fn answers_that_are_good_by_themselves_never_make_a_sum_overflow() {
    let routes = small_task().routes;
    for whole in [[2, 1], [3, 2], [8, 8], [1 << 16, 7]] {
        let share = |row: usize, routes: usize| i64::MAX / whole[row] as i64 * routes as i64;
        let most = 8_388_608.0 / whole[1] as f32;
        let at_most = f32::from_bits(most.to_bits() - 1);
        let check = |many: i64, one: f32| {
            answer(vec![RowSum::Many(vec![0, many, 0]), RowSum::One(vec![one; 3])]).check(
                &routes,
                &whole.map(|experts| experts as usize),
                3,
            )
        };
        for sign in [1, -1] {
            assert_eq!(check(sign * share(0, 2), sign as f32 * at_most), Ok(()), "{whole:?}");
            let beyond = check(sign * share(0, 2), sign as f32 * most);
            assert!(matches!(beyond, Err(AnswerError::Value { row: 1, column: 0, .. })), "{whole:?}: {beyond:?}");
        }
        let beyond = share(0, 2).checked_add(1).map(|many| check(many, 0.0));
        let refused = |checked| matches!(checked, Err(AnswerError::Value { row: 0, column: 1, .. }));
        assert!(beyond.is_none_or(refused), "{whole:?}");
        assert!(refused(check(i64::MIN, 0.0)), "{whole:?}: its size has no i64");
    }
}

#[test]
fn bits_of_an_answer_are_kept_so_that_a_bad_value_remains_evidence() {
    let bits = 0xffc0_1234_u32;
    let frame = Frame::Answer(answer(vec![RowSum::One(vec![f32::from_bits(bits)])]));
    let payload = frame.encode();
    let Ok(got) = Frame::decode(&payload) else { panic!("refused") };
    assert_eq!(got.encode(), payload);
}
