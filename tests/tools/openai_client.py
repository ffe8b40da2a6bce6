#!/usr/bin/env python3
"""Drive a whole local network through the `openai` package, as its users do.

  openai_client.py PATH_OF_NEURO

Starts `neuro up` with the model that the program carries (its answers are known), asks through the SDK and, where the
SDK hides the bytes, over a bare connection; then ends the network with SIGINT and looks for processes left behind.
Prints a line per behaviour and exits with 1 at the first that is wrong.
"""
import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid

import openai

START_PATIENCE_S = 180  # a debug build on a busy machine
STOP_PATIENCE_S = 60
POLL_S = 0.05
ADD = [{"role": "user", "content": "What is 12+35?"}]
FACT = [{"role": "user", "content": "What is an expert?"}]
FACT_ANSWER = "An expert is one small feed-forward network of a mixture-of-experts model."
# Sampled at temperature 2 from here, the model wanders on; nothing it learned says when to stop.
OPEN_PROMPT = "<s>user: "
MARK = "NEURO_API_TEST"


class Network:
    """`neuro up` as a child process, with the events that it prints."""

    def __init__(self, program):
        self.mark = uuid.uuid4().hex
        environment = {k: v for k, v in os.environ.items() if not k.startswith("NEURO_")} | {MARK: self.mark}
        self.process = subprocess.Popen([program, "up", "--json-lines"], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, text=True, env=environment)
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def ready(self):
        """The event that says where the API is."""
        deadline = time.monotonic() + START_PATIENCE_S
        while True:
            line = self.lines.get(timeout=max(0.1, deadline - time.monotonic()))
            assert line is not None, f"neuro up ended with {self.process.wait()} before it was ready"
            event = json.loads(line)
            if event.get("event") == "ready":
                return event

    def processes(self):
        """Ids of all living processes that come from this network, however they detached themselves."""
        found, mark = [], f"{MARK}={self.mark}".encode()
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
        return found

    def kill(self):
        for process in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.process.wait()


class Api:
    """The API as the checks see it: through the SDK, and bare."""

    def __init__(self, url):
        self.address = urllib.parse.urlparse(url).netloc
        self.client = openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0, timeout=120)
        self.model = self.client.models.list().data[0].id

    def chat(self, messages, **parameters):
        return self.client.chat.completions.create(
            **({"model": self.model, "messages": messages, "temperature": 0} | parameters))

    def text(self, prompt, **parameters):
        return self.client.completions.create(
            **({"model": self.model, "prompt": prompt, "temperature": 0} | parameters))

    def bare(self, method, path, body=None, headers=None):
        """(status, headers in lower case, body as text)."""
        connection = http.client.HTTPConnection(self.address, timeout=120)
        with contextlib.closing(connection):
            connection.request(method, path, body, {"content-type": "application/json"} | (headers or {}))
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read().decode()

    def metric(self, name):
        """The sum of a metric's samples; `name` may carry labels."""
        _, _, text = self.bare("GET", "/metrics")
        pattern = rf"^{re.escape(name)}(?:\{{[^}}]*\}})? ([0-9.e+-]+)" if "{" not in name else rf"^{re.escape(name)} ([0-9.e+-]+)"
        return sum(float(value) for value in re.findall(pattern, text, re.M))


def same(got, expected):
    assert got == expected, f"expected {expected!r}, got {got!r}"


def eventually(condition, what):
    """Waits for something that must come, however slow the machine is."""
    deadline = time.monotonic() + STOP_PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {STOP_PATIENCE_S} s: {what}"
        time.sleep(POLL_S)


def models_are_listed(api):
    model = api.client.models.list().data[0]
    same(model.object, "model")
    assert model.created > 0 and model.owned_by
    same(api.client.models.retrieve(model.id).id, model.id)


def a_chat_is_answered(api):
    reply = api.chat(ADD)
    same((reply.object, reply.model), ("chat.completion", api.model))
    choice = reply.choices[0]
    same((choice.message.role, choice.message.content, choice.finish_reason), ("assistant", "47", "stop"))
    assert reply.usage.prompt_tokens > 0 and reply.usage.completion_tokens > 0
    same(reply.usage.total_tokens, reply.usage.prompt_tokens + reply.usage.completion_tokens)


def content_parts_are_joined(api):
    parts = [{"type": "text", "text": "What is "}, {"type": "text", "text": "12+35?"}]
    same(api.chat([{"role": "user", "content": parts}]).choices[0].message.content, "47")


def a_stream_gives_the_same_text(api):
    chunks = list(api.chat(FACT, stream=True))
    same({(c.id, c.created, c.object) for c in chunks}, {(chunks[0].id, chunks[0].created, "chat.completion.chunk")})
    same([len(c.choices) for c in chunks], [1] * len(chunks))
    same("".join(c.choices[0].delta.content or "" for c in chunks), FACT_ANSWER)
    same([c.choices[0].finish_reason for c in chunks], [None] * (len(chunks) - 1) + ["stop"])
    same([c.usage for c in chunks], [None] * len(chunks))
    assert not chunks[-1].choices[0].delta.content, "the last chunk carries text"
    assert len(chunks) > 5, "the text came in one piece"


def usage_is_streamed_on_request(api):
    chunks = list(api.chat(ADD, stream=True, stream_options={"include_usage": True}))
    same([c.usage for c in chunks[:-1]], [None] * (len(chunks) - 1))
    same(chunks[-1].choices, [])
    same(chunks[-1].usage.total_tokens, api.chat(ADD).usage.total_tokens)


def events_are_framed_for_any_reader(api):
    body = json.dumps({"model": api.model, "messages": ADD, "temperature": 0, "stream": True})
    status, headers, text = api.bare("POST", "/v1/chat/completions", body)
    same((status, headers["content-type"].split(";")[0]), (200, "text/event-stream"))
    assert headers.get("x-request-id"), "no x-request-id"
    events = [e for e in text.split("\n\n") if e and not e.startswith(":")]
    assert text.endswith("\n\n") and all(e.startswith("data: ") and "\n" not in e for e in events), text
    same(events[-1], "data: [DONE]")
    first = json.loads(events[0].removeprefix("data: "))
    assert "finish_reason" in first["choices"][0], "finish_reason is missing, not null"
    same(first["choices"][0]["finish_reason"], None)


def stop_strings_end_the_text(api):
    for stop in ["network", ["nowhere", "network"]]:
        choice = api.chat(FACT, stop=stop).choices[0]
        same((choice.message.content, choice.finish_reason), (FACT_ANSWER.split("network")[0], "stop"))
    streamed = "".join(c.choices[0].delta.content or "" for c in api.chat(FACT, stop="network", stream=True))
    same(streamed, FACT_ANSWER.split("network")[0])


def the_number_of_tokens_is_bounded(api):
    for name in ["max_tokens", "max_completion_tokens"]:
        reply = api.chat(FACT, **{name: 3})
        same((reply.choices[0].finish_reason, reply.usage.completion_tokens), ("length", 3))
        assert FACT_ANSWER.startswith(reply.choices[0].message.content)


def a_seed_repeats_a_sample(api):
    def sample(seed):
        return api.text(OPEN_PROMPT, temperature=2, seed=seed, max_tokens=12).choices[0].text

    same(sample(5), sample(5))
    assert len({sample(seed) for seed in range(6)}) > 1, "six seeds gave one text"


def a_tiny_nucleus_is_greedy(api):
    same(api.chat(FACT, temperature=2, top_p=1e-6, seed=3).choices[0].message.content, FACT_ANSWER)


def logprobs_name_the_tokens(api):
    choice = api.chat(FACT, logprobs=True, top_logprobs=3).choices[0]
    text = "".join(token.token for token in choice.logprobs.content)
    assert text.startswith(FACT_ANSWER), text
    for token in choice.logprobs.content:
        best = [other.logprob for other in token.top_logprobs]
        same((len(best), best), (3, sorted(best, reverse=True)))
        assert token.logprob <= 0 and token.logprob == best[0], "greedy decoding did not take the likeliest token"
        same(bytes(token.bytes).decode(), token.token)
    same(api.chat(ADD).choices[0].logprobs, None)


def choices_are_numbered(api):
    reply = api.chat(ADD, n=3)
    same([(c.index, c.message.content) for c in reply.choices], [(0, "47"), (1, "47"), (2, "47")])
    texts, ends = {0: "", 1: ""}, {}
    for chunk in api.chat(ADD, n=2, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            if choice.finish_reason:
                ends[choice.index] = choice.finish_reason
    same((texts, ends), ({0: "47", 1: "47"}, {0: "stop", 1: "stop"}))


def plain_text_is_continued(api):
    prompt = "<s>user: What is 12+35?</s><s>assistant: "
    reply = api.text(prompt)
    same((reply.object, reply.choices[0].text, reply.choices[0].finish_reason), ("text_completion", "47", "stop"))
    same([c.text for c in api.text([prompt, prompt]).choices], ["47", "47"])
    same("".join(c.choices[0].text for c in api.text(prompt, stream=True)), "47")
    logprobs = api.text(prompt, logprobs=2).choices[0].logprobs
    assert "".join(logprobs.tokens).startswith("47") and len(logprobs.token_logprobs) == len(logprobs.tokens)


def refused(call, kind, param):
    """The call raises `kind`, whose body is an error object about `param`."""
    try:
        call()
    except kind as error:
        same(sorted(error.body), ["code", "message", "param", "type"])
        same(error.param, param)
        assert error.body["message"] and error.body["type"] and error.request_id
    else:
        raise AssertionError(f"{param} was accepted")


def what_is_not_supported_is_refused_by_name(api):
    tool = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}
    for name, value in [("tools", [tool]), ("response_format", {"type": "json_object"}), ("presence_penalty", 1.0),
                        ("frequency_penalty", 1.0), ("logit_bias", {"5": 1}), ("temperature", 3), ("top_p", -1),
                        ("n", 0), ("max_tokens", 0), ("top_logprobs", 2), ("stop", ["a"] * 5)]:
        refused(lambda: api.chat(ADD, **{name: value}), openai.BadRequestError, name)
    refused(lambda: api.chat(ADD, extra_body={"speed": 9}), openai.BadRequestError, "speed")
    api.chat(ADD, tools=[], logit_bias={}, presence_penalty=0, response_format={"type": "text"}, user="me")


def mistakes_are_told_apart(api):
    refused(lambda: api.chat(ADD, model="no-such-model"), openai.NotFoundError, "model")
    refused(lambda: api.chat([]), openai.BadRequestError, "messages")
    refused(lambda: api.chat([{"role": "user", "content": "word " * 2000}]), openai.BadRequestError, "messages")
    chat = "/v1/chat/completions"
    for method, path, body, headers, expected in [
        ("POST", chat, "{", {}, 400),
        ("POST", chat, "[]", {}, 400),
        ("GET", chat, None, {}, 405),
        ("GET", "/v1/nowhere", None, {}, 404),
        ("GET", "/v1/models", None, {"host": "evil.example"}, 403),
        ("GET", "/v1/models", None, {"origin": "https://evil.example"}, 403),
    ]:
        status, answered, text = api.bare(method, path, body, headers)
        same((method, path, headers, status), (method, path, headers, expected))
        same(sorted(json.loads(text)["error"]), ["code", "message", "param", "type"])
        assert "access-control-allow-origin" not in answered, "CORS is on"


def many_ask_at_once(api):
    def ask(a):
        return api.chat([{"role": "user", "content": f"What is {a}+{a + 3}?"}]).choices[0].message.content

    alone = [ask(a) for a in range(10, 22)]
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        same(list(pool.map(ask, range(10, 22))), alone)
    assert sum(answer == str(2 * a + 3) for answer, a in zip(alone, range(10, 22))) >= 11, alone


def hanging_up_frees_the_slot(api):
    left = 'neuro_request_failure_total{reason="client_left"}'
    before = api.metric(left)
    stream = api.text(OPEN_PROMPT, temperature=2, seed=1, n=8, max_tokens=480, stream=True)
    next(iter(stream))
    stream.close()
    eventually(lambda: api.metric(left) > before, "the client's leaving is noticed")
    eventually(lambda: api.metric("neuro_requests_running") == 0, "the slots are free again")
    same(api.chat(ADD).choices[0].message.content, "47")


def machines_can_watch(api):
    for path in ["/healthz", "/readyz"]:
        same(api.bare("GET", path)[0], 200)
    assert api.metric("neuro_generation_tokens_total") > 0
    assert api.metric("neuro_slots") > 0


def ctrl_c_leaves_nothing(network, ready):
    assert len(network.processes()) >= 6, "neuro up, an orchestrator and four workers"
    network.process.send_signal(signal.SIGINT)
    same(network.process.wait(STOP_PATIENCE_S), 0)
    same(network.processes(), [])
    assert not pathlib.Path(ready["data_dir"]).exists(), "the temporary data folder is still there"


CHECKS = [
    models_are_listed, a_chat_is_answered, content_parts_are_joined, a_stream_gives_the_same_text,
    usage_is_streamed_on_request, events_are_framed_for_any_reader, stop_strings_end_the_text,
    the_number_of_tokens_is_bounded, a_seed_repeats_a_sample, a_tiny_nucleus_is_greedy, logprobs_name_the_tokens,
    choices_are_numbered, plain_text_is_continued, what_is_not_supported_is_refused_by_name, mistakes_are_told_apart,
    many_ask_at_once, hanging_up_frees_the_slot, machines_can_watch,
]


def passed(check):
    print(f"pass: {check.__name__.replace('_', ' ')}", flush=True)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    network = Network(sys.argv[1])
    try:
        ready = network.ready()
        api = Api(ready["api"])
        for check in CHECKS:
            try:
                check(api)
            except Exception:
                print(f"FAIL: {check.__name__.replace('_', ' ')}", flush=True)
                raise
            passed(check)
        ctrl_c_leaves_nothing(network, ready)
        passed(ctrl_c_leaves_nothing)
    finally:
        network.kill()
    print(f"openai {openai.__version__}: {len(CHECKS) + 1} behaviours as expected")


if __name__ == "__main__":
    main()
