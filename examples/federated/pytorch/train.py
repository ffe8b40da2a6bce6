#!/usr/bin/env python3
"""A trainer for `neuro fl join` in PyTorch: a small convolutional network on handwritten digits.

    neuro fl join INVITATION --trainer ./train.py -- --digits ../digits/digits.bin --part 3/50

To train a model of your own, replace `network` and `load`: everything else works on `state_dict` and on any module
whose parameters are all trained and which has no buffers. The contract is in docs/federated.md.

    ./train.py --begin initial.safetensors

writes the model that a task begins with.
"""
import argparse
import json
import pathlib
import sys

import numpy
import torch
from safetensors.torch import load_file, save_file
from torch import nn

CONTRACT = 1
SPLIT_SEED = 20  # everybody divides a common file in the same way


def network():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64, 10))


def load(options):
    """Images [examples, 1, 8, 8] f32 from 0 to 1, and digits [examples]."""
    table = numpy.fromfile(options.digits, numpy.uint8).reshape(-1, 65)
    if options.part:
        number, parts = map(int, options.part.split("/"))
        table = table[numpy.random.default_rng(SPLIT_SEED).integers(parts, size=len(table)) == number]
    if len(table) == 0:
        raise SystemExit("expected at least one example, got none")
    images = torch.from_numpy(table[:, :64].astype(numpy.float32) / 16).reshape(-1, 1, 8, 8)
    return images, torch.from_numpy(table[:, 64].astype(numpy.int64))


def descend(model, data, settings, generator, pull=None, shift=None):
    """Epochs of gradient descent in place. → steps

    `pull` = (strength, centre) adds (strength/2)·‖y − centre‖² to the loss; `shift` is added to every gradient.
    """
    images, digits = data
    optimiser = torch.optim.SGD(model.parameters(), lr=settings["rate"])
    steps = 0
    for _ in range(settings["epochs"]):
        for batch in torch.randperm(len(digits), generator=generator).split(settings["batch"]):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(images[batch]), digits[batch]).backward()
            with torch.no_grad():
                for name, value in model.named_parameters():
                    if pull:
                        value.grad += pull[0] * (value - pull[1][name])
                    if shift:
                        value.grad += shift[name]
            optimiser.step()
            steps += 1
    return steps


def train(task, model, x, data, settings, generator):
    """One round's training from the global weights `x`, by the rule of the round's strategy."""
    rule = task["rule"]
    if rule["kind"] == "proximal":
        descend(model, data, settings, generator, pull=(rule["mu"], x))
    elif rule["kind"] == "scaffold":
        scaffold(model, x, data, settings, generator)
    else:
        descend(model, data, settings, generator)
    update = {name: (value - x[name]).contiguous() for name, value in model.state_dict().items()}
    save_file(update, "update.safetensors")
    if rule["kind"] == "personal":
        personal = network()
        personal.load_state_dict(state("personal.safetensors", x))
        descend(personal, data, settings, generator, pull=(rule["lambda"], x))
        keep("personal.safetensors", personal.state_dict())


def scaffold(model, x, data, settings, generator):
    """Option II: steps along g − cᵢ + c, then cᵢ⁺ = cᵢ − c + (x − y)/(Kη)."""
    c = load_file("control.safetensors")
    own = state("control.safetensors", {name: torch.zeros_like(value) for name, value in x.items()})
    steps = descend(model, data, settings, generator, shift={name: c[name] - own[name] for name in x})
    y, span = model.state_dict(), steps * settings["rate"]
    change = {name: ((x[name] - y[name]) / span - c[name]).contiguous() for name in x}
    save_file(change, "control_update.safetensors")
    keep("control.safetensors", {name: own[name] + change[name] for name in x})


def state(name, otherwise):
    """What an earlier round left in `state/`."""
    path = pathlib.Path("state") / name
    return load_file(path) if path.exists() else {name: value.clone() for name, value in otherwise.items()}


def keep(name, tensors):
    folder = pathlib.Path("state")
    folder.mkdir(exist_ok=True)
    save_file({name: value.contiguous() for name, value in tensors.items()}, folder / name)


def measure(model, images, digits):
    with torch.no_grad():
        logits = model(images)
    loss = nn.functional.cross_entropy(logits, digits).item()
    return {"loss": loss, "accuracy": (logits.argmax(dim=1) == digits).float().mean().item()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--digits", help="the file digits.bin beside this example")
    parser.add_argument("--part", metavar="I/N", help="only part I of N of the file, from 0")
    parser.add_argument("--held-out", type=float, default=0.2, help="share of the examples to measure on")
    parser.add_argument("--begin", metavar="FILE", help="write the first model and end")
    options = parser.parse_args()
    if options.begin:
        torch.manual_seed(SPLIT_SEED)
        return save_file(network().state_dict(), options.begin)
    task = json.loads(pathlib.Path("task.json").read_text(encoding="utf-8"))
    if task["contract"] != CONTRACT:
        raise SystemExit(f"expected contract {CONTRACT}, got {task['contract']}")
    torch.set_num_threads(1)  # the network is tiny; take this out for one of your own
    torch.manual_seed(task["seed"] % 2**63)
    x, model = load_file("global.safetensors"), network()
    model.load_state_dict(x)
    images, digits = load(options)
    order = numpy.random.default_rng(SPLIT_SEED).permutation(len(digits))
    measured = torch.from_numpy(order < options.held_out * len(digits))
    weight = int((~measured).sum())
    if task["action"] == "train":
        proposed = {"epochs": 5, "batch": 8, "rate": 0.05} | task.get("training", {})
        settings = {name: kind(proposed[name]) for name, kind in (("epochs", int), ("batch", int), ("rate", float))}
        generator = torch.Generator().manual_seed(task["seed"] % 2**63)
        train(task, model, x, (images[~measured], digits[~measured]), settings, generator)
    else:
        weight = int(measured.sum())
    part = measured if measured.any() else ~measured
    metrics = measure(model, images[part], digits[part])
    print(json.dumps({"weight": max(1, weight), "loss": metrics["loss"], "model": task["model"], "metrics": metrics}))


if __name__ == "__main__":
    sys.exit(main())
