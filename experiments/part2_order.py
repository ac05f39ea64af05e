"""Does the digit order matter to Part 2? The same network and budget with the lowest digit first, against highest first.

    python experiments/part2_order.py       some minutes on two cores; goes on where it was stopped

Highest first, the first digit of the answer can hang on the last pair read, so all stored digits must be changed by
a carry that comes late. Lowest first, each digit of the sum is final as soon as its pair is read, and the memory has
only to delay it. Writes part2_order.csv and part2_order.png.
"""

import torch
from common import BLUE, ORANGE, new_figure, read_rows, save_figure, sweep, train_quietly

import train_part2

TABLE = "part2_order.csv"
EPOCHS = 40


def run(order, seed):
    torch.manual_seed(seed)
    model, data, held_out, adam = train_part2.part2()
    data.order = held_out.order = order
    losses, exact, _ = train_quietly(model, data, held_out, adam, seed, EPOCHS)
    curve = {f"exact_{epoch}": f"{exact[epoch - 1]:.4f}" for epoch in range(1, EPOCHS + 1)}
    return {"order": order, "seed": seed, "loss": f"{min(losses):.2e}", **curve}


def draw():
    figure, axes = new_figure()
    rows = read_rows(TABLE)
    for order, color in (("highest", BLUE), ("lowest", ORANGE)):
        for number, row in enumerate(row for row in rows if row["order"] == order):
            shares = [100 * float(row[f"exact_{epoch}"]) for epoch in range(1, EPOCHS + 1)]
            axes.plot(range(1, EPOCHS + 1), shares, color=color, label=None if number else f"{order} digit first (3 seeds)")
    axes.set(xlabel="epoch (12,800 sums each)", ylabel="held-out 16-digit sums exactly right (%)")
    axes.set_title("Lowest first is learned sooner: nothing that is stored changes again")
    axes.legend(loc="lower right")
    axes.grid(alpha=0.3)
    save_figure(figure, "part2_order.png")


if __name__ == "__main__":
    sweep(TABLE, ["order", "seed"], run, [(order, seed) for seed in range(3) for order in ("highest", "lowest")])
    draw()
