"""What the experiments share: training, tables of results, and the look of pictures.

Every script starts with `from common import ...`, which puts the root on sys.path.
"""

import argparse
import csv
import io
import multiprocessing
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ["MPLBACKEND"] = "agg"  # draws files; the user's may not be installed here

import matplotlib
import torch
from matplotlib.figure import Figure

from models import prepare_device, write_whole
from train_part1 import fit

RESULTS = ROOT / "experiments" / "results"
NETWORKS = ROOT / "runs" / "experiments"  # checkpoints, not in git
BLUE, ORANGE, GREEN, PINK, GREY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#777777"
WIDTH = 6.85  # inches, of the report's text
FONTS = {"font.size": 8, "axes.titlesize": 9, "figure.titlesize": 9}
matplotlib.rcdefaults()  # whatever the user's are
matplotlib.rcParams.update(FONTS | {"axes.grid": True, "grid.alpha": 0.3})


def train_network(settings, seed, changes=None, epochs=100, path=None):
    """Train a part with changes; the losses and shares of exact sums, by epoch.

    `changes` are arguments of `settings`, which is `part1` or `part2`. The random draws
    are those of `train_part1.run`: without changes the best network, saved to `path`,
    is bit for bit what `python train_part1.py --seed SEED` saves. If `path` is there,
    nothing is trained. Training that diverges ends early.
    """
    if path and path.exists():
        return [], []
    unfinished = path and path.with_suffix(".unfinished")
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    losses, exact = [], []
    try:
        for loss, _, share in fit(*settings(**changes or {}), unfinished, seed, epochs):
            losses.append(loss)
            exact.append(share)
    except FloatingPointError:
        pass
    if path:
        unfinished.replace(path)
    return losses, exact


def measure_curve(*arguments):
    """Columns of a table: best loss, and shares of exact sums, its and each epoch's."""
    losses, exact = train_network(*arguments)
    best = losses.index(min(losses))
    row = {"loss": f"{losses[best]:.2e}", "exact": f"{exact[best]:.4f}"}
    return row | {f"exact_{n}": f"{share:.4f}" for n, share in enumerate(exact, 1)}


def parse(description, jobs=2, **numbers):
    """Command line of an experiment: whole numbers by name and default.

    To be called first, so that --help measures nothing and overwrites no result.
    `jobs`, the number of processes, is among them unless it is 0.
    """
    parser = argparse.ArgumentParser(
        description=(description or "").partition("\n")[0],  # none under python -OO
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    if jobs:
        numbers["jobs"] = jobs
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=" ")
    arguments = parser.parse_args()
    if jobs and arguments.jobs < 1:
        parser.error("--jobs, the number of processes, must be at least 1.")
    return arguments


def sweep(name, keys, function, jobs, processes):
    """Add a row, `function(*job)`, to a table for every job that is not there yet.

    `keys` are the columns that hold the arguments of a job. A sweep that is stopped
    goes on where it was. Returns all rows, as text.
    """
    rows = read_rows(name)
    done = {tuple(row[key] for key in keys) for row in rows}
    jobs = [job for job in jobs if tuple(map(str, job)) not in done]
    with multiprocessing.get_context("spawn").Pool(processes, _one_thread) as pool:
        for result in [pool.apply_async(function, job) for job in jobs]:
            rows.append(result.get())
            write_rows(name, rows)
            print(*rows[-1].values(), flush=True)
    return read_rows(name)


def _one_thread():
    prepare_device("cpu")
    torch.set_num_threads(1)


def read_rows(name):
    """Rows of a table in results/ as dicts of text; none if there is no table."""
    path = RESULTS / name
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def write_rows(name, rows):
    """Write a table of dicts to results/, in place of what is there."""
    text = io.StringIO()
    writer = csv.DictWriter(text, max(rows, key=len), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(RESULTS / name, text.getvalue().encode())


def new_figure(rows=1, columns=1, height=3.4, share=1.0, **options):
    """Figure and its axes, drawn without a screen, in inches as they are printed.

    `share` is its part of the report's text width: fonts are printed as large as here.
    """
    figure = Figure(figsize=(share * WIDTH, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **options)


def save_figure(figure, name):
    figure.savefig(RESULTS / name, dpi=200)
    print("wrote", (RESULTS / name).relative_to(ROOT))


def draw_range(axes, x, curves, **line):
    """Draw the median of curves, and a band from the least to the largest of them."""
    curves = torch.tensor(curves)
    axes.plot(x, curves.quantile(0.5, dim=0), **line)
    low, high = curves.amin(0), curves.amax(0)
    axes.fill_between(x, low, high, color=line["color"], alpha=0.2, linewidth=0)


def draw_epochs(axes, rows, **line):
    """Draw the median and range of what `measure_curve` measured, by epoch."""
    epochs = range(1, 1 + sum(name.startswith("exact_") for name in rows[0]))
    curves = [[100 * float(row[f"exact_{n}"]) for n in epochs] for row in rows]
    draw_range(axes, epochs, curves, **line)
    axes.set(xlabel="epoch (12,800 sums)", ylabel="held-out sums exactly right (%)")


def draw_dots(axes, variants, value, good, heading=""):
    """Draw a line of dots for each variant's rows, the good ones in blue.

    `variants` are rows by name. Under a heading, the good are counted on the right.
    """
    for y, rows in enumerate(variants.values()):
        for i, row in enumerate(rows):
            place = value(row), y + 0.6 * ((i + 0.5) / len(rows) - 0.5)
            axes.plot(*place, "o", color=BLUE if good(row) else ORANGE, markersize=3)
        text = f"{sum(map(good, rows))} of {len(rows)}" if heading else ""
        axes.text(1.03, y, text, transform=axes.get_yaxis_transform(), va="center")
    axes.text(1.03, 1.02, heading, transform=axes.transAxes)
    axes.set_yticks(range(len(variants)), variants)
    axes.set_ylim(len(variants) - 0.5, -0.5)
