"""Which ways of training Part 1 end in a proof? 50 seeds of the default, 10 without any of it, 3 of each ablation.

    python experiments/sweep_part1.py       about a quarter of an hour on two cores; goes on where it was stopped

Writes part1_sweep.csv, a row a network, and part1_sweep.png.
"""

import unittest.mock

import torch
from common import BLUE, GREY, ORANGE, new_figure, read_rows, save_figure, sweep, train_quietly

import certify
import models
import train_part1

TABLE = "part1_sweep.csv"
VARIANTS = {  # name: (seeds, settings that differ)
    "default": (50, {}),
    "plain": (10, {"constrained": False, "noise": 0.0, "skewed": 0.0, "counting": False, "lr": 1e-2, "RECENT": 10**9}),
    "not of rank one": (3, {"constrained": False}),
    "no noise": (3, {"noise": 0.0}),
    "no skewed digits": (3, {"skewed": 0.0}),
    "no averaging": (3, {"RECENT": 10**9}),
    "PyTorch's start": (3, {"counting": False}),
}


def train_one(variant, seed):
    """Train one network, exactly as train_part1.py does but for the variant, and measure it. Returns a table row."""
    settings = dict(VARIANTS[variant][1])
    torch.manual_seed(seed)
    _, data, held_out, adam = train_part1.part1()
    data.skewed = settings.pop("skewed", data.skewed)
    adam["lr"] = settings.pop("lr", adam["lr"])
    recent = settings.pop("RECENT", train_part1.RECENT)
    torch.manual_seed(seed)
    model = models.SynchronousAdder(**settings)
    with unittest.mock.patch("train_part1.RECENT", recent):
        _, _, checkpoint = train_quietly(model, data, held_out, adam, seed)
    model = models.SynchronousAdder(constrained=False).eval()
    model.load_state_dict(checkpoint["state_dict"])
    proven, _, rows = certify.prove(checkpoint["state_dict"])
    margin = min(float(row.logits[0] if row.digit else -row.logits[1]) for row in rows)
    fair = torch.randint(2, (100, 10_000, 2), generator=torch.Generator().manual_seed(seed))
    hard = certify.adversarial_pairs(10_000)
    return {
        "variant": variant, "seed": seed, "loss": f"{checkpoint['loss']:.2e}", "epoch": checkpoint["epoch"],
        "proven": "yes" if proven else "no", "smallest_logit": f"{margin:.2f}" if proven else "",
        "random_wrong": wrong_digits(model, fair), "random_digits": fair[..., 0].numel(),
        "adversarial_wrong": wrong_digits(model, hard), "adversarial_digits": hard[..., 0].numel(),
        "weights": models.fingerprint(checkpoint["state_dict"])[:16],
    }  # fmt: skip


def wrong_digits(model, pairs):
    with torch.inference_mode():
        return int(((model(pairs.float()) > 0) != certify.exact_digits(pairs).bool()).sum())


def draw():
    rows = read_rows(TABLE)
    figure, axes = new_figure(size=(9, 4.5))
    for y, variant in enumerate(VARIANTS):
        mine = [row for row in rows if row["variant"] == variant]
        shares = [
            100 * sum(test(row) for row in mine) / max(len(mine), 1)
            for test in (
                lambda row: row["random_wrong"] == "0",
                lambda row: row["adversarial_wrong"] == "0",
                lambda row: row["proven"] == "yes",
            )
        ]
        for offset, share, color in zip((-0.26, 0, 0.26), shares, (GREY, BLUE, ORANGE)):
            axes.barh(y + offset, share, 0.24, color=color)
            axes.text(share + 1, y + offset, f"{round(share * len(mine) / 100)} of {len(mine)}", va="center", fontsize=9)
    axes.set_yticks(range(len(VARIANTS)), VARIANTS)
    axes.invert_yaxis()
    axes.set(xlim=(0, 115), xticks=range(0, 101, 20), xlabel="share of the seeds (%)")
    names = ("no wrong digit in random 10,000-digit sums", "none in adversarial streams", "proven for every length")
    for name, color in zip(names, (GREY, BLUE, ORANGE)):
        axes.barh(0, 0, color=color, label=name)
    axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.13), ncols=3, frameon=False, fontsize=9)
    axes.set_title("Random tests hardly tell networks apart that adversarial streams and proofs do")
    save_figure(figure, "part1_sweep.png")


if __name__ == "__main__":
    sweep(TABLE, ["variant", "seed"], train_one, [(variant, seed) for variant, (seeds, _) in VARIANTS.items() for seed in range(seeds)])
    draw()
