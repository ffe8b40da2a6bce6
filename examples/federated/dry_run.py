#!/usr/bin/env python3
"""Try a trainer without a network: plays aggregator and N participants on this machine, and adds up in the open.

    dry_run.py --begin numpy/initial.safetensors --parts 10 --rounds 5 --rule proximal -- \\
        numpy/train.py --digits digits/digits.bin --part {part}/10

`{part}` becomes 0, 1, … in the participants' commands, `{here}` this folder. Nothing here is secret and no sum is masked;
what is the same as in `neuro fl join` is what the command finds and what it must leave. Needs numpy.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy

sys.dont_write_bytecode = True
sys.path.append(str(pathlib.Path(__file__).parent / "numpy"))
from train import read_tensors, write_tensors  # noqa: E402

RULES = {"plain": {"kind": "plain"}, "proximal": {"kind": "proximal", "mu": 0.01}, "scaffold": {"kind": "scaffold"},
         "personal": {"kind": "personal", "lambda": 0.1}}


def ask(folder, command, task):
    """Runs the command as a participant would. → its last line"""
    (folder / "task.json").write_text(json.dumps(task))
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=task["deadline_s"])
    if done.returncode:
        raise SystemExit(f"{folder.name}: ended with {done.returncode}: {done.stderr.strip()[-400:]}")
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    if not isinstance(answer["weight"], int) or answer["weight"] < 1:
        raise SystemExit(f"{folder.name}: expected a whole weight of at least 1, got {answer['weight']!r}")
    return answer


def checked(folder, name, model):
    """The tensors that the command left, if they are what the contract asks for."""
    tensors = read_tensors(folder / name)
    got, expected = ({key: value.shape for key, value in each.items()} for each in (tensors, model))
    if got != expected:
        raise SystemExit(f"{folder.name}/{name}: expected {expected}, got {got}")
    for key, value in tensors.items():
        if not numpy.isfinite(value).all():
            raise SystemExit(f"{folder.name}/{name}: {key} has numbers that are not finite")
    return tensors


def mean(parts, weights):
    return {name: sum(w * part[name] for w, part in zip(weights, parts)) / sum(weights) for name in parts[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--begin", required=True, type=pathlib.Path, help="the first model")
    parser.add_argument("--parts", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rule", choices=RULES, default="plain")
    parser.add_argument("--training", default="{}", help="what the plan's [training] would hold, as JSON")
    parser.add_argument("command", nargs="+", help="the trainer, after --")
    options = parser.parse_args()
    model = read_tensors(options.begin)
    control = {name: numpy.zeros_like(value) for name, value in model.items()}
    task = {"contract": 1, "task": "dry-run", "model": "0" * 64, "deadline_s": 600, "weight_cap": 1 << 20,
            "tensors": [{"name": name, "shape": list(model[name].shape)} for name in sorted(model)],
            "rule": RULES[options.rule], "training": json.loads(options.training), "metrics": ["loss", "accuracy"]}
    with tempfile.TemporaryDirectory() as scratch:
        folders = [pathlib.Path(scratch) / f"participant-{part}" for part in range(options.parts)]
        here = pathlib.Path.cwd()
        commands = []
        for part, folder in enumerate(folders):
            folder.mkdir()
            words = [word.replace("{part}", str(part)).replace("{here}", str(here)) for word in options.command]
            commands.append([str(here / word) if (here / word).is_file() else word for word in words])
        for number in range(options.rounds + 1):
            answers, updates, changes = [], [], []
            for part, (folder, command) in enumerate(zip(folders, commands)):
                write_tensors(folder / "global.safetensors", model)
                write_tensors(folder / "control.safetensors", control)
                action = "train" if number < options.rounds else "evaluate"
                seed = number * options.parts + part
                answers.append(ask(folder, command, task | {"round": number + 1, "seed": seed, "action": action}))
                if action == "train":
                    updates.append(checked(folder, "update.safetensors", model))
                    if options.rule == "scaffold":
                        changes.append(checked(folder, "control_update.safetensors", model))
            weights = [1 if options.rule == "scaffold" else answer["weight"] for answer in answers]
            figures = {name: float(numpy.average([answer["metrics"][name] for answer in answers], weights=weights))
                       for name in answers[0].get("metrics", {})}
            print(f"round {number + 1}" if updates else "evaluation", weights, json.dumps(figures), flush=True)
            if updates:
                step = mean(updates, weights)
                model = {name: model[name] + step[name] for name in model}
            if changes:
                step = mean(changes, weights)
                control = {name: control[name] + step[name] for name in control}


if __name__ == "__main__":
    main()
