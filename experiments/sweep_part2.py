"""How many sums are wrong, over ten seeds of Part 2? Each network is run on all 3¹⁶ cases.

    python experiments/sweep_part2.py       half an hour on two cores; goes on where it was stopped

Writes part2_sweep.csv, a row a network. Seed 0 is the shipped one.
"""

import torch
from common import sweep, train_quietly

import certify
import models
import train_part2

TABLE = "part2_sweep.csv"


def train_and_exhaust(seed):
    torch.manual_seed(seed)
    model, data, held_out, adam = train_part2.part2()
    _, _, checkpoint = train_quietly(model, data, held_out, adam, seed)
    wrong, worst = certify.exhaust(checkpoint["state_dict"], workers=1)
    return {
        "seed": seed, "loss": f"{checkpoint['loss']:.2e}", "epoch": checkpoint["epoch"], "wrong_sums": wrong, "cases": 3**certify.DIGITS,
        "smallest_margin": f"{worst[0][0]:.3f}", "weights": models.fingerprint(checkpoint["state_dict"])[:16],
    }  # fmt: skip


if __name__ == "__main__":
    sweep(TABLE, ["seed"], train_and_exhaust, [(seed,) for seed in range(10)])
