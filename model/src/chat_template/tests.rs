//! Templates as published models write them, and templates with faults.

use super::*;

const SKILLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/models/skills/checkpoint/tokenizer_config.json");

fn message(role: &str, content: &str) -> ChatMessage {
    ChatMessage { role: role.into(), content: content.into() }
}

fn talk() -> Vec<ChatMessage> {
    vec![
        message("system", "Be <brief>."),
        message("user", "Hi & bye"),
        message("assistant", "<think>hm</think>\n\nHi."),
    ]
}

/// Renders `source` over a three-message conversation, the last one from the assistant.
#[track_caller]
fn check(source: &str, expected: &str) {
    let template = ChatTemplate::from_source(source, "<s>", "</s>").unwrap();
    assert_eq!(template.render(&talk(), true).unwrap(), expected);
}

#[test]
fn the_shipped_model_s_template_opens_the_assistant_s_turn() {
    let config = std::fs::read(SKILLS).unwrap();
    let template = ChatTemplate::from_files(None, Some(&config)).unwrap().unwrap();
    let question = [message("user", "What is 12+35?")];
    assert_eq!(template.render(&question, true).unwrap(), "<s>user: What is 12+35?</s><s>assistant: ");
    assert_eq!(template.render(&question, false).unwrap(), "<s>user: What is 12+35?</s>");
}

#[test]
fn blocks_leave_no_lines_and_no_indents() {
    let source =
        "{% for m in messages %}\n  {% if m.role == 'user' %}\n[{{ m.content }}]\n  {% endif %}\n{% endfor %}\nend\n";
    check(source, "[Hi & bye]\nend");
}

#[test]
fn begin_and_end_tokens_are_there_and_nothing_is_escaped_for_html() {
    check("{{ bos_token }}{{ messages[0].content }}{{ eos_token }}", "<s>Be <brief>.</s>");
}

#[test]
fn python_methods_and_slices_work() {
    check("{{ messages[2].content.split('</think>')[-1].lstrip('\\n') }}", "Hi.");
    check("{{ messages[0]['content'].strip().upper().startswith('BE') }}", "True");
    check("{% for m in messages[::-1] %}{{ m.role[0] }}{% endfor %}", "aus");
    check("{% for m in messages[1:] %}{{ loop.index0 }}{{ m['role'] }} {% endfor %}", "0user 1assistant ");
    check("{{ messages[0].get('name', 'nobody') }} {{ messages[0].items() | length }}", "nobody 2");
}

#[test]
fn namespaces_macros_and_loop_controls_work() {
    let last_user = "{% set ns = namespace(at=-1) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.at = loop.index0 %}{% break %}{% endif %}{% endfor %}{{ ns.at }}";
    check(last_user, "1");
    check("{% macro turn(m) %}<{{ m.role }}>{% endmacro %}{{ turn(messages[0]) }}", "<system>");
}

#[test]
fn tools_are_none_and_optional_fields_are_undefined() {
    check("{{ tools is none }} {{ tools is not none and tools }}", "True False");
    check("{% if messages[0].tool_calls %}x{% else %}no calls{% endif %}", "no calls");
    check("{{ enable_thinking is defined }} {{ messages[2].reasoning_content is string }}", "False False");
}

#[test]
fn json_is_written_as_python_writes_it() {
    check("{{ messages[0] | tojson }}", r#"{"role": "system", "content": "Be <brief>."}"#);
    check("{{ ['é', 1, none, true] | tojson(ensure_ascii=false) }}", r#"["é", 1, null, true]"#);
    check("{{ {'a': [1]} | tojson(indent=2) }}", "{\n  \"a\": [\n    1\n  ]\n}");
}

#[test]
fn a_template_in_the_style_of_qwen3_renders_the_same_as_there() {
    let source = r"{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == 'user' and message.content is string and not(message.content.startswith('<r>') and message.content.endswith('</r>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role == 'user' %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
    {%- elif message.role == 'assistant' %}
        {%- set content = message.content %}
        {%- if '</think>' in content %}
            {%- set content = content.split('</think>')[-1].lstrip('\n') %}
        {%- endif %}
        {{- '<|im_start|>assistant\n' + content.strip('\n') + '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}";
    check(
        source,
        "<|im_start|>system\nBe <brief>.<|im_end|>\n<|im_start|>user\nHi & bye<|im_end|>\n\
         <|im_start|>assistant\nHi.<|im_end|>\n<|im_start|>assistant\n",
    );
}

#[test]
fn a_refusal_is_told_apart_from_a_fault() {
    let source = "{% if messages[0].role != 'user' %}{{ raise_exception('Roles must alternate!') }}{% endif %}ok";
    let template = ChatTemplate::from_source(source, "", "").unwrap();
    assert_eq!(template.render(&[message("user", "")], true).unwrap(), "ok");
    let refusal = template.render(&talk(), true).unwrap_err();
    assert!(matches!(&refusal, TemplateError::Refused { message } if message == "Roles must alternate!"), "{refusal}");
    assert!(refusal.is_refusal());

    let inside = "{% macro f() %}{{ raise_exception('deep') }}{% endmacro %}{{ f() }}";
    let refusal = ChatTemplate::from_source(inside, "", "").unwrap().render(&talk(), true).unwrap_err();
    assert!(matches!(&refusal, TemplateError::Refused { message } if message == "deep"), "{refusal}");

    let fault =
        ChatTemplate::from_source("{{ messages.nothing.more }}", "", "").unwrap().render(&talk(), true).unwrap_err();
    assert!(matches!(fault, TemplateError::Render(_)) && !fault.is_refusal(), "{fault}");
    assert!(matches!(ChatTemplate::from_source("{% if %}", "", ""), Err(TemplateError::Syntax(_))));
}

#[test]
fn an_endless_template_runs_out_of_fuel() {
    let source = "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}";
    let error = ChatTemplate::from_source(source, "", "").unwrap().render(&[], false).unwrap_err();
    assert!(error.to_string().contains("fuel"), "{error}");
}

#[test]
fn the_file_of_its_own_comes_before_the_tokenizer_s_settings() {
    let config =
        br#"{"chat_template": "settings", "bos_token": {"content": "<b>", "special": true}, "eos_token": null}"#;
    let file = ChatTemplate::from_files(Some(b"{{ bos_token }}file{{ eos_token }}"), Some(config)).unwrap().unwrap();
    assert_eq!(file.render(&[], false).unwrap(), "<b>file");
    let settings = ChatTemplate::from_files(None, Some(config)).unwrap().unwrap();
    assert_eq!(settings.render(&[], false).unwrap(), "settings");
    assert!(ChatTemplate::from_files(None, Some(b"{}")).unwrap().is_none());
    assert!(ChatTemplate::from_files(None, None).unwrap().is_none());
    assert!(matches!(ChatTemplate::from_files(Some(b"ab\xff"), None), Err(TemplateError::NotText { valid_bytes: 2 })));
}

#[test]
fn of_several_templates_the_default_one_counts() {
    let named = br#"{"chat_template": [{"name": "rag", "template": "r"}, {"name": "default", "template": "d"}]}"#;
    assert_eq!(ChatTemplate::from_files(None, Some(named)).unwrap().unwrap().render(&[], false).unwrap(), "d");
    let none = br#"{"chat_template": [{"name": "rag", "template": "r"}]}"#;
    let error = ChatTemplate::from_files(None, Some(none)).unwrap_err();
    assert!(matches!(&error, TemplateError::NoDefault { names } if names == &["rag"]), "{error}");
    assert!(ChatTemplate::from_files(None, Some(br#"{"chat_template": 3}"#)).is_err());
}
