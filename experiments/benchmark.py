"""What does the training loop cost, beside a bare loop on ready-made batches?

    python experiments/benchmark.py       some minutes, with nothing else running

All ways take turns on one core. Writes results/benchmark.csv: milliseconds a
mini-batch, and the ratio to the bare loop (median, lowest and highest of all rounds).
"""

import statistics
import time

from common import parse, write_rows

import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, Dataset

from models import prepare_device
from train_part1 import BATCH, part1, train
from train_part2 import part2

EPOCHS = 3
WAYS = ("bare loop", "train", "train, one sample at a time")


class OneByOne(Dataset):
    """The same samples, each drawn by a call of its own."""

    def __init__(self, data):
        self.data, data.length = data, data.max_digits + 1

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        return self.data[index]


def bare_loop(model, batches):
    """What every training loop does, without schedule, clipping, averages or draws."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(EPOCHS):
        for inputs, sums in batches:
            loss = binary_cross_entropy_with_logits(model(inputs), sums)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def milliseconds(settings, way):
    """Time a mini-batch in one of WAYS, from starting weights."""
    torch.manual_seed(0)
    training, _ = settings()
    batches = list(DataLoader(training["data"], BATCH))
    if way == WAYS[2]:
        training["data"] = OneByOne(training["data"])
    start = time.perf_counter()
    if way == WAYS[0]:
        bare_loop(training["model"], batches)
    else:
        list(train(**training, epochs=EPOCHS))
    return 1000 * (time.perf_counter() - start) / (EPOCHS * len(batches))


if __name__ == "__main__":
    rounds = parse(__doc__, jobs=0, rounds=7).rounds
    prepare_device("cpu")
    torch.set_num_threads(1)
    rows = []
    for part, settings in enumerate((part1, part2), start=1):
        times = [[milliseconds(settings, way) for way in WAYS]
                 for _ in range(rounds + 1)][1:]  # the first warms up
        for i, way in enumerate(WAYS):
            ratios = sorted(turn[i] / turn[0] for turn in times)
            median = statistics.median(turn[i] for turn in times)
            values = statistics.median(ratios), ratios[0], ratios[-1]
            names = "ratio", "lowest", "highest"
            row = {"part": part, "way": way, "milliseconds": f"{median:.2f}"}
            rows.append(row | {n: f"{v:.2f}" for n, v in zip(names, values)})
            print(*rows[-1].values(), flush=True)
    write_rows("benchmark.csv", rows)
