#!/usr/bin/env python3
"""Reads what `neuro fl export` writes with TensorBoard's and MLflow's own readers, and compares every number with the CSV.

    python3 -m venv /tmp/exports && /tmp/exports/bin/pip install -r tests/tools/exports-requirements.txt
    /tmp/exports/bin/python tests/tools/check_exports.py target/debug/neuro DATA_DIR [--task NAME]

DATA_DIR is an aggregator's data folder with at least one round that ended. Run by hand; CI does not install these.
"""
import csv
import importlib.metadata
import os
import pathlib
import subprocess
import sys
import tempfile

# MLflow 3 asks for this before it reads a store of files.
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"

from mlflow.tracking import MlflowClient  # noqa: E402
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: E402


def export(program, data_dir, options, form, out):
    command = [program, "fl", "export", "--data-dir", data_dir, "--format", form, "--out", str(out), *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def from_csv(path):
    """(metric, round) → value; rounds that have no such metric are left out."""
    numbers = {}
    for row in csv.DictReader(path.open()):
        for name, value in row.items():
            if name not in ("round", "kind", "succeeded") and value != "":
                numbers[name, int(row["round"])] = float(value)
    return numbers


def from_tensorboard(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    tags = events.Tags()["scalars"]
    return {(tag, event.step): event.value for tag in tags for event in events.Scalars(tag)}


def from_mlflow(folder):
    client = MlflowClient(tracking_uri=folder.as_uri())
    (experiment,) = client.search_experiments()
    (run,) = client.search_runs([experiment.experiment_id])
    print(f"  experiment {experiment.name!r}, run {run.info.run_name!r}, {run.info.status}, {run.data.params}")
    names = run.data.metrics
    return {(name, point.step): point.value for name in names for point in client.get_metric_history(run.info.run_id, name)}


def check(what, expected, got, tolerance):
    assert expected.keys() == got.keys(), f"{what}: {expected.keys() ^ got.keys()}"
    for key, value in expected.items():
        assert abs(value - got[key]) <= tolerance * max(1, abs(value)), f"{what}: {key}: {value} != {got[key]}"
    version = importlib.metadata.version(what)
    print(f"{what} {version}: {len(got)} numbers of {len({name for name, _ in got})} metrics, as in the CSV")


def main():
    program, data_dir, *options = sys.argv[1:]
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        for form, name in [("csv", "task.csv"), ("tensorboard", "runs"), ("mlflow", "mlruns")]:
            export(program, data_dir, options, form, folder / name)
        expected = from_csv(folder / "task.csv")
        assert expected, "expected at least one number"
        # TensorBoard's scalars are f32.
        check("tensorboard", expected, from_tensorboard(folder / "runs"), 1e-6)
        check("mlflow-skinny", expected, from_mlflow(folder / "mlruns"), 0)


if __name__ == "__main__":
    main()
