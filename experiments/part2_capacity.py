"""How many digits does Part 2 learn to add? Longer numbers, and fewer units.

    python experiments/part2_capacity.py       goes on where it was stopped

Part 2's settings, but 30 epochs, and rings as long as a sum; units that do not suffice
for a ring start as noise. Where the loss stays at 0.69, that of guesses, training did
not get started, and the memory itself may hold more. Writes results/part2_capacity.csv,
a row a training, and part2_capacity.png.
"""

import statistics

from common import BLUE, GREEN, ORANGE, measure_curve, new_figure, parse, save_figure
from common import sweep

from train_part2 import part2

DIGITS = (8, 16, 24, 32, 48)
HIDDEN = {25: GREEN, 50: ORANGE, 100: BLUE}


def measure(digits, hidden, seed):
    numbers = {"min_digits": digits, "max_digits": digits, "length": digits + 1}
    changes = {
        "model": {"hidden": hidden, "ring": digits + 1},
        "data": numbers,
        "held_out": numbers | {"size": 4096},
    }
    row = {"digits": digits, "hidden": hidden, "seed": seed}
    return row | measure_curve(part2, seed, changes, 30)


def draw(rows):
    figure, axes = new_figure(height=2.6, share=0.68)
    exact = {(hidden, digits): [] for hidden in HIDDEN for digits in DIGITS}
    for row in rows:
        cell = exact[int(row["hidden"]), int(row["digits"])]
        cell.append(100 * float(row["exact"]))
    for hidden, color in HIDDEN.items():
        cells = [exact[hidden, digits] for digits in DIGITS]
        medians = list(map(statistics.median, cells))
        axes.plot(DIGITS, medians, color=color, label=f"{hidden} units")
        axes.plot(DIGITS, cells, "o", color=color, markersize=3)
    axes.set_xticks(DIGITS)
    axes.set(xlabel="digits of each number", ylabel="held-out sums exactly right (%)")
    axes.set_title("30 epochs teach 25 units 8 digits, 50 units 16, 100 units 24")
    axes.legend(title="3 seeds, median")
    save_figure(figure, "part2_capacity.png")


if __name__ == "__main__":
    jobs = [(d, hidden, seed) for seed in range(3) for hidden in HIDDEN for d in DIGITS]
    keys = ["digits", "hidden", "seed"]
    draw(sweep("part2_capacity.csv", keys, measure, jobs, parse(__doc__).jobs))
