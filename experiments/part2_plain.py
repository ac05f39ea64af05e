"""What does a plain network remember? Part 2 as the assignment asks, and no more.

    python experiments/part2_plain.py       goes on where it was stopped

PyTorch's own start, numbers of all lengths, Adam, and none of what Part 2's recipe adds
but clipping; Part 1's learning rate, and a lower one. Then 4096 sums of numbers of
exactly n digits each, for every n, padded to 17. Writes results/part2_plain.csv, a row
a network.
"""

import math

from common import NETWORKS, parse, sweep, train_network

import torch
from torch.utils.data import DataLoader

from dataset import BinaryAddition
from models import DIGITS, DelayedAdder, load
from train_part1 import evaluate
from train_part2 import part2

RATES = "0.03", "0.001"  # Part 1's, and Adam's default
TEST = {"length": DIGITS + 1, "order": DelayedAdder.order, "size": 4096}


def plain_adder(hidden, noise):
    """Part 2's network, without rings: as `nn.RNN` starts, with untied weights."""
    model = DelayedAdder(hidden, noise, constrained=False)
    model.rnn.reset_parameters()
    return model


def measure(rate, seed):
    """Row of the table: one network trained, and its shares of digits and sums."""
    changes = {
        "network": plain_adder, "noise": 0.0, "min_digits": 1, "runs": 0.0,
        "lr": float(rate), "weight_decay": 0.0, "recent": math.inf,
    }
    path = NETWORKS / f"part2 plain {rate} {seed}.pt"
    train_network(part2, seed, changes, path=path)
    model, checkpoint = load(path, part=2)
    row = {"rate": rate, "seed": seed, "loss": f"{checkpoint['loss']:.3f}"}
    for digits in range(1, DIGITS + 1):
        torch.manual_seed(digits)
        data = BinaryAddition(min_digits=digits, max_digits=digits, **TEST)
        inputs, sums = next(iter(DataLoader(data, len(data))))
        right, exact = evaluate(model, inputs.double(), sums)
        row |= {f"digits_{digits}": f"{right:.4f}", f"exact_{digits}": f"{exact:.4f}"}
    return row


if __name__ == "__main__":
    jobs = [(rate, seed) for rate in RATES for seed in range(10)]
    sweep("part2_plain.csv", ["rate", "seed"], measure, jobs, parse(__doc__).jobs)
