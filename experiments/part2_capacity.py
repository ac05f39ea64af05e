"""Where does the memory of Part 2 end? Exact sums against the length of the numbers and the number of units.

    python experiments/part2_capacity.py       about a quarter of an hour on two cores; goes on where it was stopped

A quarter of Part 2's budget (25 epochs), one seed a cell. Writes part2_capacity.csv and part2_capacity.png.
"""

import torch
from common import new_figure, read_rows, save_figure, sweep, train_quietly
from dataset import BinaryAddition
from models import DelayedAdder
from train_part1 import BATCH, ITERATIONS

TABLE = "part2_capacity.csv"
DIGITS, HIDDEN = (8, 12, 16, 24, 32), (25, 50, 100, 200)


def run(digits, hidden):
    torch.manual_seed(0)
    common = {"max_digits": digits, "order": "highest", "length": digits + 1}
    data = BinaryAddition(size=ITERATIONS * BATCH, full=0.9, skewed=0.25, runs=0.5, **common)
    held_out = BinaryAddition(size=4096, full=1.0, skewed=0.0, **common)
    losses, exact, checkpoint = train_quietly(DelayedAdder(hidden, ring=digits + 1), data, held_out, 3e-3, 0, epochs=25)
    return {"digits": digits, "hidden": hidden, "loss": f"{min(losses):.2e}", "exact": f"{exact[checkpoint['epoch'] - 1]:.4f}"}


def draw():
    exact = {(int(row["digits"]), int(row["hidden"])): 100 * float(row["exact"]) for row in read_rows(TABLE)}
    figure, axes = new_figure(size=(7, 4))
    axes.imshow([[exact[digits, hidden] for digits in DIGITS] for hidden in HIDDEN], cmap="viridis", vmin=0, vmax=100, aspect="auto")
    for y, hidden in enumerate(HIDDEN):
        for x, digits in enumerate(DIGITS):
            share = exact[digits, hidden]
            axes.text(x, y, f"{share:.1f} %", ha="center", va="center", color="white" if share < 60 else "black")
    axes.set_xticks(range(len(DIGITS)), DIGITS)
    axes.set_yticks(range(len(HIDDEN)), HIDDEN)
    axes.set(xlabel="digits of each number", ylabel="hidden units")
    axes.set_title("Exact sums after 25 epochs, by what there is to remember and to remember it with")
    save_figure(figure, "part2_capacity.png")


if __name__ == "__main__":
    sweep(TABLE, ["digits", "hidden"], run, [(digits, hidden) for hidden in HIDDEN for digits in DIGITS])
    draw()
