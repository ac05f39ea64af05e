"""How many digits does Part 2 learn to add? Longer numbers, and fewer units.

    python experiments/part2_capacity.py       goes on where it was stopped

Part 2's settings, but 30 epochs, and rings as long as a sum; units that do not suffice
for a ring start as noise. Where the loss stays at 0.69, that of guesses, training did
not get started, and the memory itself may hold more. Writes results/part2_capacity.csv,
a row a training.
"""

from functools import partial

from common import measure_curve, parse, sweep

from dataset import BinaryAddition
from models import DelayedAdder
from train_part1 import BATCH
from train_part2 import part2

DIGITS = (8, 16, 24, 32, 48)
HIDDEN = (25, 50, 100)


def settings(digits, hidden):
    """Part 2's settings for numbers of so many digits."""
    training, _ = part2(partial(DelayedAdder, ring=digits + 1), hidden)
    sums = partial(BinaryAddition, min_digits=digits, max_digits=digits,
                   order="highest")
    training["data"] = sums(100 * BATCH, runs=training["data"].runs)
    return training, sums(4096)


def measure(digits, hidden, seed):
    changes = {"digits": digits, "hidden": hidden}
    return changes | {"seed": seed} | measure_curve(settings, seed, changes, 30)


if __name__ == "__main__":
    jobs = [(d, hidden, seed) for seed in range(3) for hidden in HIDDEN for d in DIGITS]
    keys = ["digits", "hidden", "seed"]
    sweep("part2_capacity.csv", keys, measure, jobs, parse(__doc__).jobs)
