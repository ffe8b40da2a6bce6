#!/usr/bin/env python3
"""Measure Flower's SecAgg+ (PyPI: flwr) for `neuro bench secagg --peer-results`: one JSON line a case.

  python3 -m venv /tmp/flower && /tmp/flower/bin/pip install flwr==1.41.0 numpy
  /tmp/flower/bin/python tests/tools/peer_flower_secagg.py --shares all > peer.jsonl
  /tmp/flower/bin/python tests/tools/peer_flower_secagg.py --shares log >> peer.jsonl
  neuro bench secagg --peer-results peer.jsonl

Flower's own code does the work: `SecAggPlusWorkflow` as the server, `secaggplus_mod` as each client, its own defaults for
clipping, quantisation and modulus. Only what lies between the two is ours: a grid that hands messages over in their wire
form, one client after the other, and stops the clocks at the border. So neither sockets nor serialisation are counted,
for either side; nor is training, nor the model on its way down (it is empty).

Times are CPU seconds of this process. Bytes are those of the messages in their wire form, both ways; for these and for a
client's time the median over the clients that stay is given. A client that drops out has dealt its shares and never
sends its masked vector. `--shares all` makes everybody everybody's neighbour; `log` asks for 2*ceil(log2 n) + 1 shares,
itself included. The threshold is the least majority of the shares. Updates: float32, normal, deviation 0.1; weights of
500 to 1,000.
"""

import argparse
import contextlib
import importlib
import json
import logging
import math
import os
import random
import statistics
import sys
import time
from types import SimpleNamespace

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"

import flwr
import numpy
from flwr import common
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.common import serde
from flwr.common.secure_aggregation import secaggplus_constants as constants
from flwr.compat.common.recorddict_compat import fitres_to_recorddict
from flwr.proto.message_pb2 import Message as WireMessage
from flwr.server.compat.legacy_context import LegacyContext
from flwr.server.workflow import constant as names
from flwr.supercore.task_identity import TaskIdentity

# Functions of the same names hide these modules in their packages.
client_side = importlib.import_module("flwr.client.mod.secure_aggregation.secaggplus_mod")
server_side = importlib.import_module("flwr.server.workflow.secure_aggregation.secaggplus_workflow")


class Client:
    """One client: its data, which are made when they are asked for, its Flower state, and its figures."""

    def __init__(self, node: int, entries: int, weight: int, drops: bool):
        self.node, self.entries, self.weight, self.drops = node, entries, weight, drops
        self.context = Context(1, node, {}, RecordDict(), {})
        self.cpu, self.sent, self.received = 0.0, 0, 0

    def update(self) -> numpy.ndarray:
        generator = numpy.random.default_rng(self.node)
        return generator.normal(0.0, 0.1, self.entries).astype(numpy.float32)

    def trained(self, stage: str) -> RecordDict | None:
        """What its training returns, in the one stage that asks for it."""
        if stage != constants.Stage.COLLECT_MASKED_VECTORS:
            return None
        parameters = common.ndarrays_to_parameters([self.update()])
        status = common.Status(common.Code.OK, "")
        return fitres_to_recorddict(common.FitRes(status, parameters, self.weight, {}), keep_input=False)

    def answer(self, message: Message, stage: str) -> Message:
        result = self.trained(stage)
        started = time.process_time()
        reply = client_side.secaggplus_mod(message, self.context, lambda asked, _: Message(result, reply_to=asked))
        self.cpu += time.process_time() - started
        return reply


class Grid:
    """Takes the place of Flower's transport, and knows how long it was busy."""

    def __init__(self, clients: list[Client]):
        self.clients = {client.node: client for client in clients}
        self.cpu = 0.0

    def send_and_receive(self, messages, *, timeout=None):
        started = time.process_time()
        replies = [reply for reply in map(self.pass_on, messages) if reply is not None]
        self.cpu += time.process_time() - started
        return replies

    def pass_on(self, sent: Message) -> Message | None:
        client = self.clients[sent.metadata.dst_node_id]
        message, size = on_the_wire(sent)
        client.received += size
        stage = message.content.config_records[constants.RECORD_KEY_CONFIGS][constants.Key.STAGE]
        if client.drops and stage == constants.Stage.COLLECT_MASKED_VECTORS:
            return None
        reply, size = on_the_wire(client.answer(message, stage))
        client.sent += size
        return reply


class KeepTheSum:
    """A strategy that calls everybody and keeps what comes of it."""

    def __init__(self, clients: list[Client]):
        self.nodes, self.result = [client.node for client in clients], None

    def configure_fit(self, server_round, parameters, client_manager):
        empty = common.Parameters(tensors=[], tensor_type="numpy.ndarray")
        return [(SimpleNamespace(node_id=node), common.FitIns(empty, {})) for node in self.nodes]

    def aggregate_fit(self, server_round, results, failures):
        self.result = results[0][1].parameters
        return self.result, {}


def on_the_wire(message: Message) -> tuple[Message, int]:
    """A copy that shares nothing with `message`, and how many bytes travel."""
    data = serde.message_to_proto(message).SerializeToString()
    return serde.message_from_proto(WireMessage.FromString(data)), len(data)


def make_clients(count: int, entries: int, dropout: float, seed: int) -> list[Client]:
    draw = random.Random(seed)
    nodes = draw.sample(range(1, 1 << 62), count)
    dropping = set(draw.sample(nodes, round(dropout * count)))
    return [Client(node, entries, draw.randint(500, 1000), node in dropping) for node in nodes]


def true_mean(clients: list[Client]) -> numpy.ndarray:
    total = sum(client.update().astype(numpy.float64) * client.weight for client in clients)
    return total / sum(client.weight for client in clients)


def run_round(count: int, entries: int, dropout: float, shares: int, seed: int) -> dict[str, float]:
    random.seed(seed)  # Flower orders the neighbours with this generator.
    clients = make_clients(count, entries, dropout, seed)
    grid, strategy = Grid(clients), KeepTheSum(clients)
    current = ConfigRecord({names.Key.CURRENT_ROUND: 1})
    state = RecordDict({names.MAIN_CONFIGS_RECORD: current, names.MAIN_PARAMS_RECORD: ArrayRecord()})
    workflow = server_side.SecAggPlusWorkflow(shares, shares // 2 + 1)
    context = LegacyContext(Context(1, 1, {}, state, {}), strategy=strategy)
    started = time.process_time()
    workflow(grid, context)
    server = time.process_time() - started - grid.cpu
    if strategy.result is None:
        sys.exit(f"Flower ended the round without a result: {count} clients, {dropout} dropout, {shares} shares")
    stayed = [client for client in clients if not client.drops]
    mean = common.parameters_to_ndarrays(strategy.result)[0]
    return {
        "server_cpu_s": server,
        "client_median_cpu_s": statistics.median(client.cpu for client in stayed),
        "bytes_per_client": statistics.median(client.sent + client.received for client in stayed),
        "bytes_up": statistics.median(client.sent for client in stayed),
        "max_abs_err": float(numpy.abs(mean - true_mean(stayed)).max()),
    }


def shares_of(wanted: str, clients: int) -> int:
    numbers = {"all": clients, "log": 2 * math.ceil(math.log2(clients)) + 1}
    return min(clients, numbers[wanted] if wanted in numbers else int(wanted))


def list_of(kind):
    return lambda text: [kind(part) for part in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=list_of(int), default=[50, 100])
    parser.add_argument("--dims", type=list_of(int), default=[100_000, 1_000_000])
    parser.add_argument("--dropout", type=list_of(float), default=[0.0, 0.1])
    parser.add_argument("--shares", default="all", help="all, log, or an odd number from 3 on")
    parser.add_argument("--rounds", type=int, default=1, help="rounds of each case; medians are printed")
    arguments = parser.parse_args()
    logging.getLogger("flwr").setLevel(logging.ERROR)
    TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 1
    with contextlib.redirect_stdout(sys.stderr):
        run_round(5, 100, 0.2, 5, 0)  # Late imports happen here.
    cases = [(d, n, p) for d in arguments.dims for n in arguments.clients for p in arguments.dropout]
    for entries, count, dropout in cases:
        shares = shares_of(arguments.shares, count)
        rounds = [run_round(count, entries, dropout, shares, seed) for seed in range(1, arguments.rounds + 1)]
        figures = {name: statistics.median(figure[name] for figure in rounds) for name in rounds[0]}
        line = {"peer": "flower-secaggplus", "flwr": flwr.__version__, "clients": count, "dim": entries}
        line |= {"dropout": dropout, "shares": shares, "threshold": shares // 2 + 1} | figures
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
