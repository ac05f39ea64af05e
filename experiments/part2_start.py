"""What decides whether Part 2 learns: where its recurrent weights start, and the cell.

    python experiments/part2_start.py       goes on where it was stopped

All train on the same data, for 20 epochs. Writes results/part2_start.csv, a row a
training, and part2_start.png.
"""

from functools import partial

from common import BLUE, GREEN, GREY, ORANGE, PINK, draw_epochs, measure_curve
from common import new_figure, parse, save_figure, sweep

import torch
from torch import nn

from models import DelayedAdder
from train_part2 import part2

RATE = "0.005"  # Part 2's own; a lower one does not help the other starts


class StartedAdder(DelayedAdder):
    """Part 2 with its recurrent matrix (H, H) filled in place by `fill`."""

    def __init__(self, hidden, noise, fill):
        super().__init__(hidden, noise)
        with torch.no_grad():
            fill(self.rnn.weight_hh_l0)


class GatedAdder(DelayedAdder):
    """Part 2 with another cell, such as `nn.LSTM`, as PyTorch starts it."""

    def __init__(self, hidden, noise, cell):
        super().__init__(hidden, noise, constrained=False)
        self.rnn = cell(2, hidden, batch_first=True)


def chain(matrix):
    """One shift register through all units; the last unit feeds none."""
    nn.init.normal_(matrix, std=0.01).diagonal(-1).add_(1)


def default(matrix):
    nn.init.uniform_(matrix, -0.1, 0.1)  # as nn.RNN does for 100 units


VARIANTS = {  # name: (network, color, line)
    "rings": (DelayedAdder, BLUE, "-"),
    "one chain": (partial(StartedAdder, fill=chain), ORANGE, "-"),
    "orthogonal": (partial(StartedAdder, fill=nn.init.orthogonal_), GREEN, "--"),
    "identity": (partial(StartedAdder, fill=nn.init.eye_), PINK, "--"),
    "PyTorch's own": (partial(StartedAdder, fill=default), GREY, "--"),
    "GRU": (partial(GatedAdder, cell=nn.GRU), "black", ":"),
    "LSTM": (partial(GatedAdder, cell=nn.LSTM), "black", "-."),
}


def measure(name, rate, seed):
    changes = {"network": VARIANTS[name][0], "lr": float(rate)}
    row = {"start": name, "rate": rate, "seed": seed}
    return row | measure_curve(part2, seed, changes, 20)


def draw(rows):
    figure, axes = new_figure(height=2.2, share=0.47)
    for name, (_, color, line) in VARIANTS.items():
        mine = [row for row in rows if (row["start"], row["rate"]) == (name, RATE)]
        draw_epochs(axes, mine, color=color, linestyle=line, label=name)
    title = "Only shift registers learn it in 20 epochs"
    axes.set(title=title, xticks=(1, 5, 10, 15, 20))
    axes.legend()
    save_figure(figure, "part2_start.png")


if __name__ == "__main__":
    jobs = [(name, RATE, seed) for seed in range(5) for name in VARIANTS]
    others = "orthogonal", "identity", "PyTorch's own"
    jobs += [(name, "0.001", seed) for seed in range(2) for name in others]
    keys = ["start", "rate", "seed"]
    draw(sweep("part2_start.csv", keys, measure, jobs, parse(__doc__).jobs))
