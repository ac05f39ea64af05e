"""Does the digit order matter to Part 2? Its training in short, in either order.

    python experiments/part2_order.py       goes on where it was stopped

Highest first, a late carry changes digits that are already stored. Lowest first, each
digit of the sum is final when its pair is read, and the memory only delays it. Writes
results/part2_order.csv, a row a training, and part2_order.png.
"""

import statistics

from common import BLUE, ORANGE, draw_epochs, measure_curve, new_figure, parse
from common import save_figure, sweep

from train_part2 import part2


def measure(order, seed):
    changes = {"data": {"order": order}, "held_out": {"order": order}}
    return {"order": order, "seed": seed} | measure_curve(part2, seed, changes, 15)


def draw(rows):
    figure, axes = new_figure(height=2.6, share=0.68)
    for order, color in (("highest", BLUE), ("lowest", ORANGE)):
        mine = [row for row in rows if row["order"] == order]
        loss = statistics.median(float(row["loss"]) for row in mine)
        draw_epochs(axes, mine, color=color, label=f"{order}: {loss:.0e}")
    axes.set(xlim=(1, 8), title="Lowest digit first ends at a tenth of the loss")
    axes.legend(title="first digit: loss after\n15 epochs (10 seeds)")
    save_figure(figure, "part2_order.png")


if __name__ == "__main__":
    jobs = [(order, seed) for seed in range(10) for order in ("highest", "lowest")]
    keys = ["order", "seed"]
    draw(sweep("part2_order.csv", keys, measure, jobs, parse(__doc__).jobs))
