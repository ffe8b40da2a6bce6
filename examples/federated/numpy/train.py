#!/usr/bin/env python3
"""A trainer for `neuro fl join` in numpy alone: logistic regression, or one hidden layer, on a CSV file or on digits.

    neuro fl join INVITATION --trainer ./train.py -- --csv patients.csv
    neuro fl join INVITATION --trainer ./train.py -- --digits ../digits/digits.bin --part 3/50

It is started in a folder with `task.json`, `global.safetensors` and, with SCAFFOLD, `control.safetensors`; it writes
`update.safetensors` (and `control_update.safetensors`) there and one JSON line to standard output. What it keeps for
itself lies in `state/`. The contract is in docs/federated.md.

    ./train.py --begin initial.safetensors --features 64 --classes 10 --hidden 32

writes the model that a task begins with. Tensors, f32: `output.weight` [classes, inputs] and `output.bias` [classes];
with a hidden layer also `hidden.weight` [units, features] and `hidden.bias` [units].
"""
import argparse
import json
import pathlib
import struct
import sys

import numpy

CONTRACT = 1
SPLIT_SEED = 20  # everybody divides a common file in the same way


# Safetensors: the length of a JSON header (u64, little-endian), the header, then the tensors' bytes.


def read_tensors(path):
    """All tensors of a file of f32, by name."""
    data = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        if entry["dtype"] != "F32":
            raise SystemExit(f"{path}: expected F32 in {name}, got {entry['dtype']}")
        start, end = entry["data_offsets"]
        values = numpy.frombuffer(data[8 + length + start:8 + length + end], dtype="<f4")
        tensors[name] = values.reshape(entry["shape"]).copy()
    return tensors


def write_tensors(path, tensors):
    header, offset, parts = {}, 0, []
    for name in sorted(tensors):
        part = numpy.ascontiguousarray(tensors[name], dtype="<f4").tobytes()
        shape = list(tensors[name].shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + len(part)]}
        offset += len(part)
        parts.append(part)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path = pathlib.Path(path)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


# Data.


def load(options):
    """Features [examples, features] f32, and labels [examples]: whole numbers from 0."""
    if options.csv:
        with open(options.csv, encoding="utf-8") as file:
            titled = not is_number(file.readline().split(",")[0])
        table = numpy.loadtxt(options.csv, delimiter=",", skiprows=int(titled), ndmin=2)
        features, labels = table[:, :-1], table[:, -1]
    elif options.digits:
        table = numpy.fromfile(options.digits, numpy.uint8).reshape(-1, 65)
        features, labels = table[:, :-1] / 16, table[:, -1]
    else:
        raise SystemExit("name your data: --csv FILE or --digits FILE")
    features, labels = features.astype(numpy.float32), labels.astype(numpy.int64)
    if options.part:
        number, parts = map(int, options.part.split("/"))
        mine = numpy.random.default_rng(SPLIT_SEED).integers(parts, size=len(labels)) == number
        features, labels = features[mine], labels[mine]
    if len(labels) == 0:
        raise SystemExit("expected at least one example, got none")
    return features, labels


def is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def held_out(count, share):
    """Which examples are never trained on; the same in every round."""
    return numpy.random.default_rng(SPLIT_SEED).permutation(count) < share * count


# The model: h = max(0, W₁x + b₁), z = W₂h + b₂; without a hidden layer h = x. Loss: mean cross-entropy of softmax z.


def forward(model, features):
    hidden = features
    if "hidden.weight" in model:
        hidden = numpy.maximum(0, features @ model["hidden.weight"].T + model["hidden.bias"])
    return hidden, hidden @ model["output.weight"].T + model["output.bias"]


def softmax(logits):
    powers = numpy.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def loss_and_accuracy(model, features, labels):
    right = softmax(forward(model, features)[1])
    chosen = right[numpy.arange(len(labels)), labels]
    return float(-numpy.log(chosen + 1e-12).mean()), float((right.argmax(axis=1) == labels).mean())


def gradient(model, features, labels):
    hidden, logits = forward(model, features)
    output = softmax(logits)
    output[numpy.arange(len(labels)), labels] -= 1
    output /= len(labels)
    result = {"output.weight": output.T @ hidden, "output.bias": output.sum(axis=0)}
    if "hidden.weight" in model:
        below = (output @ model["output.weight"]) * (hidden > 0)
        result |= {"hidden.weight": below.T @ features, "hidden.bias": below.sum(axis=0)}
    return result


# Local rules: what the round's strategy asks of a step.


def descend(model, data, settings, rng, correct=lambda name, gradient, value: gradient):
    """Epochs of gradient descent in place; `correct` turns a tensor's gradient into the direction taken. → steps"""
    features, labels = data
    steps = 0
    for _ in range(settings["epochs"]):
        order = rng.permutation(len(labels))
        for start in range(0, len(labels), settings["batch"]):
            batch = order[start:start + settings["batch"]]
            for name, slope in gradient(model, features[batch], labels[batch]).items():
                model[name] -= numpy.float32(settings["rate"]) * correct(name, slope, model[name])
            steps += 1
    return steps


def train(task, data, settings, rng):
    """One round's training in the folder of `task.json`. → the model after it"""
    x, rule = read_tensors("global.safetensors"), task["rule"]
    y = {name: value.copy() for name, value in x.items()}
    if rule["kind"] == "proximal":  # FedProx: the loss gains (μ/2)‖y − x‖²
        descend(y, data, settings, rng, lambda name, slope, value: slope + rule["mu"] * (value - x[name]))
    elif rule["kind"] == "scaffold":
        scaffold(x, y, data, settings, rng)
    else:
        descend(y, data, settings, rng)
    if rule["kind"] == "personal":  # Ditto: besides, a model of one's own, held to the global one by λ
        own = state("personal.safetensors", x)
        descend(own, data, settings, rng, lambda name, slope, value: slope + rule["lambda"] * (value - x[name]))
        write_tensors("state/personal.safetensors", own)
    write_tensors("update.safetensors", {name: y[name] - x[name] for name in x})
    return y


def scaffold(x, y, data, settings, rng):
    """SCAFFOLD, option II: steps along g − cᵢ + c, then cᵢ⁺ = cᵢ − c + (x − y)/(Kη)."""
    c = read_tensors("control.safetensors")
    own = state("control.safetensors", {name: numpy.zeros_like(value) for name, value in x.items()})
    steps = descend(y, data, settings, rng, lambda name, slope, value: slope - own[name] + c[name])
    span = steps * settings["rate"]
    change = {name: (x[name] - y[name]) / span - c[name] for name in x}
    write_tensors("control_update.safetensors", change)
    write_tensors("state/control.safetensors", {name: own[name] + change[name] for name in x})


def state(name, otherwise):
    """What an earlier round left in `state/`."""
    path = pathlib.Path("state") / name
    return read_tensors(path) if path.exists() else {name: value.copy() for name, value in otherwise.items()}


# The command.


def begin(options):
    """The model before the first round."""
    rng = numpy.random.default_rng(SPLIT_SEED)
    inputs, model = options.features, {}
    if options.hidden:
        deviation = (2 / inputs) ** 0.5
        model["hidden.weight"] = deviation * rng.standard_normal((options.hidden, inputs))
        model["hidden.bias"] = numpy.zeros(options.hidden)
        inputs = options.hidden
    scale = (2 / inputs) ** 0.5 if options.hidden else 0
    model["output.weight"] = scale * rng.standard_normal((options.classes, inputs))
    model["output.bias"] = numpy.zeros(options.classes)
    write_tensors(options.begin, model)


def settings_of(task, options):
    """Numbers that the plan's [training] proposes, unless the command line says otherwise."""
    proposed = {"epochs": 5, "batch": 8, "rate": 0.1} | task.get("training", {})
    own = {name: getattr(options, name) for name in ("epochs", "batch", "rate") if getattr(options, name) is not None}
    chosen = proposed | own
    settings = {"epochs": int(chosen["epochs"]), "batch": int(chosen["batch"]), "rate": float(chosen["rate"])}
    if min(settings.values()) <= 0:
        raise SystemExit(f"expected epochs, batch and rate above 0, got {settings}")
    return settings


def check_tensors(task, model):
    expected = {entry["name"]: entry["shape"] for entry in task["tensors"]}
    got = {name: list(value.shape) for name, value in model.items()}
    known = {"hidden.weight", "hidden.bias", "output.weight", "output.bias"}
    if expected != got or not {"output.weight", "output.bias"} <= set(got) <= known:
        raise SystemExit(f"expected one of this script's models with the tensors {expected}, got {got}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", help="numbers separated by commas, the class (0, 1, …) last; a title line is skipped")
    parser.add_argument("--digits", help="the file digits.bin beside this example")
    parser.add_argument("--part", metavar="I/N", help="of a file that several share: only part I of N, from 0")
    parser.add_argument("--held-out", type=float, default=0.2, help="share of the examples to measure on")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--begin", metavar="FILE", help="write the first model and end")
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--hidden", type=int, default=0)
    options = parser.parse_args()
    if options.begin:
        return begin(options)
    task = json.loads(pathlib.Path("task.json").read_text(encoding="utf-8"))
    if task["contract"] != CONTRACT:
        raise SystemExit(f"expected contract {CONTRACT}, got {task['contract']}")
    model = read_tensors("global.safetensors")
    check_tensors(task, model)
    features, labels = load(options)
    measured = held_out(len(labels), options.held_out)
    training = (features[~measured], labels[~measured])
    weight = len(training[1])
    if task["action"] == "train":
        model = train(task, training, settings_of(task, options), numpy.random.default_rng(task["seed"]))
    else:
        weight = int(measured.sum())
    part = measured if measured.any() else ~measured
    loss, accuracy = loss_and_accuracy(model, features[part], labels[part])
    print(json.dumps({"weight": max(1, weight), "loss": loss, "model": task["model"],
                      "metrics": {"loss": loss, "accuracy": accuracy}}))


if __name__ == "__main__":
    sys.exit(main())
