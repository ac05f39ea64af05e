"""What decides whether Part 2 learns: where the recurrent weights start, and the cell. Same data, same budget: 25
of Part 2's 100 epochs; three seeds each.

    python experiments/part2_start.py       about ten minutes on two cores; goes on where it was stopped

Writes part2_start.csv, a row a training with the exact sums of every fifth epoch, and part2_start.png.
"""

import torch
from common import BLUE, GREEN, GREY, ORANGE, PINK, new_figure, read_rows, save_figure, sweep, train_quietly
from torch import nn

import models
import train_part2

TABLE = "part2_start.csv"
EPOCHS = 25
SHOWN = range(5, EPOCHS + 1, 5)


def chain(hidden):
    """One shift register through all units: unit k feeds unit k + 1, and the last feeds nobody."""
    return torch.diag(torch.ones(hidden - 1), -1) + 0.01 * torch.randn(hidden, hidden)


STARTS = {
    "rings": lambda matrix: models.rings(100, 17),
    "one chain": lambda matrix: chain(100),
    "orthogonal": nn.init.orthogonal_,
    "identity": nn.init.eye_,
    "PyTorch's default": lambda matrix: matrix,
}
CELLS = {"GRU": nn.GRU, "LSTM": nn.LSTM}


class GatedAdder(models.DelayedAdder):
    """Part 2 with another cell, as PyTorch starts it."""

    def __init__(self, cell):
        super().__init__(constrained=False)
        self.rnn = cell(2, 100, batch_first=True)


def run(start, rate, seed):
    torch.manual_seed(seed)
    _, data, held_out, adam = train_part2.part2()
    if start in CELLS:
        model = GatedAdder(CELLS[start])
    else:
        model = models.DelayedAdder()
        with torch.no_grad():
            model.rnn.weight_hh_l0.copy_(STARTS[start](torch.empty(100, 100).uniform_(-0.1, 0.1)))
    losses, exact, checkpoint = train_quietly(model, data, held_out, {**adam, "lr": float(rate)}, seed, EPOCHS)
    curve = {f"exact_{epoch}": f"{exact[epoch - 1]:.4f}" for epoch in SHOWN}
    return {"start": start, "rate": rate, "seed": seed, "loss": f"{min(losses):.2e}", "exact": f"{exact[checkpoint['epoch'] - 1]:.4f}", **curve}


def draw():
    rows = read_rows(TABLE)
    figure, axes = new_figure(size=(8, 4.5))
    styles = {"rings": (BLUE, "-"), "one chain": (ORANGE, "-"), "orthogonal": (GREEN, "--"), "identity": (PINK, "--"),
              "PyTorch's default": (GREY, "--"), "GRU": ("black", ":"), "LSTM": ("black", "-.")}  # fmt: skip
    for start, (color, line) in styles.items():
        mine = [row for row in rows if row["start"] == start and row["rate"] == "0.005"]
        for number, row in enumerate(mine):
            shares = [100 * float(row[f"exact_{epoch}"]) for epoch in SHOWN]
            axes.plot(SHOWN, shares, color=color, linestyle=line, label=None if number else f"{start} ({len(mine)} seeds)")
    axes.set(xlabel="epoch (12,800 sums each)", ylabel="held-out 16-digit sums exactly right (%)", ylim=(-3, 103))
    axes.set_title("With shift registers to start from, every seed learns to add; else none does in 25 epochs")
    axes.legend(loc=(0.33, 0.42), fontsize=9)
    axes.grid(alpha=0.3)
    save_figure(figure, "part2_start.png")


if __name__ == "__main__":
    jobs = [(start, "0.005", seed) for start in (*STARTS, *CELLS) for seed in range(3)]
    jobs += [(start, "0.001", 0) for start in ("orthogonal", "identity", "PyTorch's default")]  # were they only too fast?
    sweep(TABLE, ["start", "rate", "seed"], run, jobs)
    draw()
