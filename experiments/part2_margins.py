"""What makes Part 2 right on the last millionth of the sums? Its recipe, less one thing at a time, with 40 of its 100 epochs.

    python experiments/part2_margins.py       about five minutes on two cores; goes on where it was stopped

How good a network is shows in its smallest margin: the least that a logit of any sum lies on its side of zero, negative if
one is wrong. To find it without running all 3¹⁶ cases, `hunt` breeds column sums with small margins, in seconds.
Writes part2_margins.csv, a row a network, and part2_margins.png.
"""

import unittest.mock

import torch
from common import BLUE, new_figure, read_rows, save_figure, sweep, train_quietly

import models
import train_part1
import train_part2
from certify import DIGITS, as_inputs

TABLE = "part2_margins.csv"
EPOCHS = 40
VARIANTS = {  # what differs: in the dataset, in Adam's options, in the network, in the training
    "the whole recipe": {},
    "fair digits in place of skewed ones": {"skewed": 0.0},
    "no runs": {"runs": 0.0},
    "numbers of all lengths": {"full": 0.0},
    "no weight decay": {"weight_decay": 0.0},
    "no noise": {"noise": 0.0},
    "no averaging of the weights": {"RECENT": 10**9},
}


def margins(model, columns):
    """The smallest margin of each sum, (N,), for column sums (N, 16), highest first."""
    inputs = as_inputs(columns)
    totals = (columns << torch.arange(DIGITS - 1, -1, -1)).sum(1, keepdim=True)
    digits = totals >> torch.arange(DIGITS, -1, -1) & 1
    with torch.inference_mode():
        return torch.cat([(model(some) * (2 * right - 1)).amin(1) for some, right in zip(inputs.split(2048), digits.split(2048))])


def hunt(model, population=4096, rounds=150):
    """The smallest margin that a search finds, and its column sums: the worst sequences are kept, changed at some places
    or put together from two, round after round. On networks that were run on all cases it found the same."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.rand(shape, generator=generator)

    one, zero = draw(4 * population, 1), draw(4 * population, 1)
    sequences = torch.searchsorted(torch.cat(((1 - one) * zero, (1 - one) * zero + one), 1), draw(4 * population, DIGITS))
    values = margins(model, sequences)
    for number in range(rounds):
        best = values.argsort()[:population]
        sequences, values = sequences[best], values[best]
        if number % 3:
            places = draw(len(best), DIGITS) < (1 + 2 * draw(len(best), 1)) / DIGITS
            changed = torch.where(places, (3 * draw(len(best), DIGITS)).long(), sequences)
        else:
            partners = sequences[draw(len(best)).argsort()]
            changed = torch.where(torch.arange(DIGITS) < DIGITS * draw(len(best), 1), sequences, partners)
        sequences = torch.cat((sequences, changed))
        values = torch.cat((values, margins(model, changed)))
        sequences, which = sequences.unique(dim=0, return_inverse=True)
        values = torch.empty(len(sequences)).scatter_(0, which, values)
    return values.min().item(), sequences[values.argmin()].tolist()


def run(variant, seed):
    settings = VARIANTS[variant]
    torch.manual_seed(seed)
    _, data, held_out, adam = train_part2.part2()
    for name in ("skewed", "runs", "full"):
        setattr(data, name, settings.get(name, getattr(data, name)))
    adam["weight_decay"] = settings.get("weight_decay", adam["weight_decay"])
    model = models.DelayedAdder(**({"noise": settings["noise"]} if "noise" in settings else {}))
    with unittest.mock.patch("train_part1.RECENT", settings.get("RECENT", train_part1.RECENT)):
        losses, _, checkpoint = train_quietly(model, data, held_out, adam, seed, EPOCHS)
    model = models.DelayedAdder(constrained=False).eval()
    model.load_state_dict(checkpoint["state_dict"])
    margin, columns = hunt(model)
    return {"variant": variant, "seed": seed, "loss": f"{min(losses):.2e}", "smallest_margin": f"{margin:.2f}", "columns": "".join(map(str, columns))}


def draw_margins():
    rows = read_rows(TABLE)
    figure, axes = new_figure(size=(8, 3.8))
    for y, variant in enumerate(VARIANTS):
        values = [float(row["smallest_margin"]) for row in rows if row["variant"] == variant]
        axes.plot(values, [y] * len(values), "o", color=BLUE, markersize=8, alpha=0.7)
    axes.axvline(0, color="black", linewidth=1)
    axes.set_yticks(range(len(VARIANTS)), VARIANTS)
    axes.invert_yaxis()
    axes.set(xlabel="smallest margin of a logit that a search finds (below 0: a wrong sum)")
    axes.set_title("What Part 2's recipe needs to be right on every sum (40 epochs)")
    axes.grid(alpha=0.3)
    save_figure(figure, "part2_margins.png")


if __name__ == "__main__":
    sweep(TABLE, ["variant", "seed"], run, [(variant, seed) for seed in range(1) for variant in VARIANTS])
    draw_margins()
