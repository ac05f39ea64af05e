"""Where does the memory of Part 2 end? Exact sums against the length of the numbers and the number of units.

    python experiments/part2_capacity.py       five minutes on two cores; goes on where it was stopped

Part 2's settings and 20 of its 100 epochs, one seed a cell; the rings are as long as the sum has digits. Where
the units do not suffice for one ring, the recurrent weights start as noise. Writes part2_capacity.csv and part2_capacity.png.
"""

import torch
from common import new_figure, read_rows, save_figure, sweep, train_quietly

import models
import train_part2

TABLE = "part2_capacity.csv"
DIGITS, HIDDEN = (8, 12, 16, 24, 32), (25, 50, 100, 200)
EPOCHS = 20


def run(digits, hidden):
    torch.manual_seed(0)
    _, data, held_out, adam = train_part2.part2()
    for sums in (data, held_out):
        sums.max_digits, sums.length = digits, digits + 1
    held_out.size = 4096
    torch.manual_seed(0)
    model = models.DelayedAdder(hidden, ring=digits + 1)
    losses, exact, checkpoint = train_quietly(model, data, held_out, adam, 0, EPOCHS)
    return {"digits": digits, "hidden": hidden, "rings": hidden // (digits + 1), "loss": f"{min(losses):.2e}", "exact": f"{exact[checkpoint['epoch'] - 1]:.4f}"}


def draw():
    rows = {(int(row["digits"]), int(row["hidden"])): row for row in read_rows(TABLE)}
    exact = [[100 * float(rows[digits, hidden]["exact"]) for digits in DIGITS] for hidden in HIDDEN]
    figure, axes = new_figure(size=(7.5, 4.2))
    axes.imshow(exact, cmap="viridis", vmin=0, vmax=100, aspect="auto")
    for y, hidden in enumerate(HIDDEN):
        for x, digits in enumerate(DIGITS):
            share, rings = exact[y][x], int(rows[digits, hidden]["rings"])
            text = f"{share:.1f} %\n{rings} ring{'s' * (rings != 1)}"
            axes.text(x, y, text, ha="center", va="center", fontsize=9, color="white" if share < 60 else "black")
    axes.set_xticks(range(len(DIGITS)), DIGITS)
    axes.set_yticks(range(len(HIDDEN)), HIDDEN)
    axes.set(xlabel="binary digits of each number", ylabel="hidden units")
    axes.set_title("Held-out sums exactly right after 20 epochs (4096 pairs of full length)")
    save_figure(figure, "part2_capacity.png")


if __name__ == "__main__":
    sweep(TABLE, ["digits", "hidden"], run, [(digits, hidden) for hidden in (100, 50, 25, 200) for digits in DIGITS])
    draw()
