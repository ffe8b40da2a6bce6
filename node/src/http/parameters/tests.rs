//! What a request may ask for, and what it is told otherwise.

use serde_json::json;

use super::*;

fn parse(endpoint: Endpoint, body: Value) -> Result<Parameters, ApiError> {
    let Value::Object(body) = body else { panic!("an object, please") };
    Parameters::parse(endpoint, body)
}

fn chat(extra: Value) -> Result<Parameters, ApiError> {
    parse(Endpoint::Chat, merged(json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] }), extra))
}

fn text(extra: Value) -> Result<Parameters, ApiError> {
    parse(Endpoint::Text, merged(json!({ "model": "m", "prompt": "hi" }), extra))
}

fn merged(mut body: Value, extra: Value) -> Value {
    for (name, value) in extra.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// Checks that a request is refused with 400, this code, and this parameter named in `param` and in the message.
fn check_refused(outcome: Result<Parameters, ApiError>, code: &str, param: &str) {
    let error = outcome.expect_err(&format!("{param} was accepted"));
    assert_eq!((error.status.as_u16(), error.code, error.param.as_deref()), (400, code, Some(param)), "{error:?}");
    assert!(error.message.starts_with(param), "{error:?}");
}

#[test]
fn absent_parameters_have_openais_defaults() {
    let parameters = chat(json!({})).unwrap();
    assert_eq!((parameters.temperature, parameters.top_p, parameters.choices), (1.0, 1.0, 1));
    assert_eq!((parameters.max_tokens, parameters.stream, parameters.top_logprobs), (None, None, None));
    assert!(parameters.stop.is_empty() && parameters.ignored.is_empty());
    assert_ne!(parameters.seed, chat(json!({})).unwrap().seed, "absent seeds differ");
    assert_eq!(text(json!({})).unwrap().max_tokens, Some(16));
}

#[test]
fn null_means_absent() {
    let nulls = json!({
        "temperature": null, "top_p": null, "n": null, "stop": null, "seed": null, "max_tokens": null, "tools": null,
        "stream": null, "stream_options": null, "logprobs": null, "logit_bias": null, "user": null,
    });
    let parameters = chat(nulls).unwrap();
    assert_eq!((parameters.temperature, parameters.max_tokens, parameters.stream), (1.0, None, None));
    assert!(parameters.ignored.is_empty());
}

#[test]
fn values_are_taken() {
    let parameters = chat(json!({
        "temperature": 0.5, "top_p": 0.25, "n": 3, "seed": -1, "stop": ["a", "b"], "max_completion_tokens": 9,
        "stream": true, "stream_options": { "include_usage": true, "include_obfuscation": false },
        "logprobs": true, "top_logprobs": 5,
    }))
    .unwrap();
    assert_eq!((parameters.temperature, parameters.top_p, parameters.choices), (0.5, 0.25, 3));
    assert_eq!((parameters.seed, parameters.max_tokens, parameters.top_logprobs), (u64::MAX, Some(9), Some(5)));
    assert_eq!(parameters.stop, ["a", "b"]);
    assert_eq!(parameters.stream, Some(StreamOptions { include_usage: true }));
    assert_eq!(text(json!({ "stop": "end", "logprobs": 0 })).unwrap().top_logprobs, Some(0));
    assert_eq!(text(json!({ "seed": u64::MAX })).unwrap().seed, u64::MAX);
    assert_eq!(chat(json!({ "logprobs": true })).unwrap().top_logprobs, Some(0));
    assert_eq!(chat(json!({ "max_tokens": 7, "max_completion_tokens": 7 })).unwrap().max_tokens, Some(7));
    assert!(chat(json!({ "top_p": 0 })).unwrap().top_p > 0.0);
}

#[test]
fn values_out_of_range_are_refused_by_name() {
    let cases = [
        ("temperature", json!(2.1)),
        ("temperature", json!(-0.1)),
        ("temperature", json!("hot")),
        ("top_p", json!(1.5)),
        ("n", json!(0)),
        ("n", json!(17)),
        ("n", json!(1.5)),
        ("max_tokens", json!(0)),
        ("max_tokens", json!(-4)),
        ("seed", json!(0.5)),
        ("seed", json!("1")),
        ("stop", json!(["a", "b", "c", "d", "e"])),
        ("stop", json!("")),
        ("stop", json!([1])),
        ("stop", json!({})),
        ("stop", json!("x".repeat(STOP_STRING_BYTES + 1))),
        ("stream", json!("yes")),
        ("stream_options", json!({ "include_usage": true })),
    ];
    for (name, value) in cases {
        check_refused(chat(json!({ name: value })), "invalid_value", name);
        check_refused(text(json!({ name: value })), "invalid_value", name);
    }
    check_refused(chat(json!({ "max_completion_tokens": 0 })), "invalid_value", "max_completion_tokens");
    check_refused(chat(json!({ "max_completion_tokens": 1, "max_tokens": 2 })), "invalid_value", "max_tokens");
    check_refused(chat(json!({ "top_logprobs": 2 })), "invalid_value", "top_logprobs");
    check_refused(chat(json!({ "logprobs": true, "top_logprobs": 21 })), "invalid_value", "top_logprobs");
    check_refused(chat(json!({ "logprobs": 1 })), "invalid_value", "logprobs");
    check_refused(text(json!({ "logprobs": true })), "invalid_value", "logprobs");
    check_refused(text(json!({ "prompt": ["a", "b", "c"], "n": 6 })), "invalid_value", "n");
}

#[test]
fn what_is_not_served_is_refused_by_name_and_what_asks_for_nothing_is_not() {
    let in_chat = [
        ("tools", json!([{ "type": "function" }]), json!([])),
        ("tool_choice", json!("auto"), json!("none")),
        ("functions", json!([{}]), json!([])),
        ("response_format", json!({ "type": "json_object" }), json!({ "type": "text" })),
        ("modalities", json!(["text", "audio"]), json!(["text"])),
        ("audio", json!({ "voice": "any" }), json!(null)),
        ("reasoning_effort", json!("high"), json!(null)),
        ("frequency_penalty", json!(0.1), json!(0)),
        ("presence_penalty", json!(-1), json!(0.0)),
        ("logit_bias", json!({ "1": 5 }), json!({})),
    ];
    for (name, asks, nothing) in in_chat {
        check_refused(chat(json!({ name: asks })), "unsupported_parameter", name);
        chat(json!({ name: nothing })).unwrap();
    }
    let in_text = [
        ("echo", json!(true), json!(false)),
        ("suffix", json!("end"), json!("")),
        ("best_of", json!(2), json!(1)),
        ("logit_bias", json!({ "1": 5 }), json!({})),
        ("presence_penalty", json!(1), json!(0)),
    ];
    for (name, asks, nothing) in in_text {
        check_refused(text(json!({ name: asks })), "unsupported_parameter", name);
        text(json!({ name: nothing })).unwrap();
    }
}

#[test]
fn unknown_parameters_are_refused_and_harmless_ones_are_told() {
    check_refused(chat(json!({ "temprature": 0 })), "unknown_parameter", "temprature");
    check_refused(chat(json!({ "echo": true })), "unknown_parameter", "echo");
    check_refused(text(json!({ "tools": [] })), "unknown_parameter", "tools");
    check_refused(text(json!({ "max_completion_tokens": 4 })), "unknown_parameter", "max_completion_tokens");
    let options = json!({ "stream": true, "stream_options": { "usage": true } });
    check_refused(chat(options), "unknown_parameter", "stream_options.usage");
    let ignored = chat(json!({ "user": "u", "metadata": {}, "store": false })).unwrap().ignored;
    assert_eq!(ignored, ["user", "metadata", "store"]);
}

#[test]
fn what_is_missing_is_named() {
    check_refused(parse(Endpoint::Chat, json!({ "messages": [] })), "missing_parameter", "model");
    check_refused(parse(Endpoint::Chat, json!({ "model": "m" })), "missing_parameter", "messages");
    check_refused(parse(Endpoint::Text, json!({ "model": "m" })), "missing_parameter", "prompt");
    check_refused(parse(Endpoint::Text, json!({ "model": 1, "prompt": "" })), "invalid_value", "model");
}

#[test]
fn messages_become_roles_and_text() {
    let parameters = chat(json!({ "messages": [
        { "role": "developer", "content": "be brief", "name": "ops" },
        { "role": "user", "content": [{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }] },
        { "role": "assistant", "content": "c", "refusal": null, "tool_calls": null, "annotations": [] },
    ]}))
    .unwrap();
    let Input::Messages(messages) = parameters.input else { panic!("{:?}", parameters.input) };
    let plain: Vec<_> = messages.iter().map(|message| (message.role.as_str(), message.content.as_str())).collect();
    assert_eq!(plain, [("system", "be brief"), ("user", "a\nb"), ("assistant", "c")]);
}

#[test]
fn bad_messages_are_named_by_place() {
    let user = |content: Value| json!([{ "role": "user", "content": content }]);
    let cases = [
        (json!([]), "invalid_value", "messages"),
        (json!("hi"), "invalid_value", "messages"),
        (json!(["hi"]), "invalid_value", "messages[0]"),
        (json!([{ "content": "hi" }]), "missing_parameter", "messages[0].role"),
        (json!([{ "role": "tool", "content": "hi" }]), "invalid_value", "messages[0].role"),
        (json!([{ "role": "user" }]), "missing_parameter", "messages[0].content"),
        (user(json!(7)), "invalid_value", "messages[0].content"),
        (user(json!([{ "type": "text" }])), "missing_parameter", "messages[0].content[0].text"),
        (
            user(json!([{ "type": "text", "text": "a" }, { "type": "image_url", "image_url": {} }])),
            "unsupported_content",
            "messages[0].content[1].type",
        ),
        (
            json!([{ "role": "assistant", "content": "x", "tool_calls": [{}] }]),
            "unsupported_parameter",
            "messages[0].tool_calls",
        ),
        (json!([{ "role": "user", "content": "x", "weight": 1 }]), "unknown_parameter", "messages[0].weight"),
    ];
    for (messages, code, param) in cases {
        check_refused(chat(json!({ "messages": messages })), code, param);
    }
    let error = chat(json!({ "messages": user(json!([{ "type": "input_audio" }])) })).unwrap_err();
    assert!(error.message.contains("input_audio"), "{error:?}");
}

#[test]
fn prompts_come_as_text_texts_ids_or_lists_of_ids() {
    let input = |prompt: Value| text(json!({ "prompt": prompt })).map(|parameters| parameters.input);
    assert_eq!(input(json!("a")).unwrap(), Input::Texts(vec!["a".to_owned()]));
    assert_eq!(input(json!(["a", "b"])).unwrap(), Input::Texts(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(input(json!([1, 2])).unwrap(), Input::Ids(vec![vec![1, 2]]));
    assert_eq!(input(json!([[1], [2, 3]])).unwrap(), Input::Ids(vec![vec![1], vec![2, 3]]));
    for bad in [
        json!([]),
        json!([1, "a"]),
        json!(["a", 1]),
        json!([[]]),
        json!([[1], 2]),
        json!([-1]),
        json!([4_294_967_296_u64]),
        json!(3),
        json!([null]),
    ] {
        check_refused(text(json!({ "prompt": bad })), "invalid_value", "prompt");
    }
}

#[test]
fn a_priority_is_one_of_three_words() {
    assert_eq!(chat(json!({})).unwrap().priority, Priority::Normal);
    for (word, priority) in [("low", Priority::Low), ("normal", Priority::Normal), ("high", Priority::High)] {
        assert_eq!(text(json!({ "priority": word })).unwrap().priority, priority);
    }
    for bad in [json!("urgent"), json!(1), json!("")] {
        check_refused(chat(json!({ "priority": bad })), "invalid_value", "priority");
    }
}
