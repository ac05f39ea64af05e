"""What makes Part 2 right on the last millionth of the sums? One thing less at a time.

    python experiments/part2_ablation.py       goes on where it was stopped

Writes results/part2_ablation.csv, a row a network, and part2_ablation.png.
"""

import math

from common import NETWORKS, draw_dots, new_figure, parse, save_figure, sweep
from common import train_network

from hunt import hunt
from models import fingerprint, load
from train_part2 import part2

TABLE = "part2_ablation.csv"
VARIANTS = {  # name: (seeds, changes of the arguments of part2)
    "the recipe": (80, {}),
    "no runs": (10, {"runs": 0.0}),
    "numbers of all lengths": (10, {"min_digits": 1}),
    "no weight decay": (10, {"weight_decay": 0.0}),
    "no clipping": (10, {"clip": None}),
    "no noise": (10, {"noise": 0.0}),
    "no averaging": (20, {"recent": math.inf}),
}


def measure(variant, seed):
    """Row of the table: one network trained, and the smallest margin found."""
    path = NETWORKS / f"part2 {variant} {seed}.pt"
    train_network(part2, seed, VARIANTS[variant][1], path=path)
    model, checkpoint = load(path, part=2)
    margin, columns = hunt(model.float())  # half the time; differs by 1e-5
    return {
        "variant": variant,
        "seed": seed,
        "loss": f"{checkpoint['loss']:.2e}",
        "epoch": checkpoint["epoch"],
        "smallest_margin": f"{margin:.3f}",
        "columns": "".join(map(str, columns)),
        "weights": fingerprint(checkpoint["state_dict"])[:16],
    }


def margin(row):
    return float(row["smallest_margin"])


def draw(rows):
    figure, axes = new_figure(height=2.2, share=0.52)
    variants = {v: [row for row in rows if row["variant"] == v] for v in VARIANTS}
    draw_dots(axes, variants, margin, lambda row: margin(row) > 0, "none wrong")
    axes.axvline(0, color="black", linewidth=1)
    axes.set_xlabel("smallest margin found (below 0: a wrong sum)")
    figure.suptitle("Runs, full length and clipping matter most")
    save_figure(figure, "part2_ablation.png")


if __name__ == "__main__":
    jobs = [(name, seed) for name in VARIANTS for seed in range(VARIANTS[name][0])]
    draw(sweep(TABLE, ["variant", "seed"], measure, jobs, parse(__doc__).jobs))
