"""What the experiments share: the way to the scripts above them, training, tables, and the look of the pictures."""

import contextlib
import csv
import io
import multiprocessing
import re
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

BLUE, ORANGE, GREEN, PINK, GREY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#777777"  # told apart by all eyes


def read_rows(name):
    """The rows of experiments/NAME as dicts of text; none if there is no such file."""
    path = HERE / name
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def add_row(name, row):
    """Append a dict to experiments/NAME, so that an experiment that is stopped goes on where it was."""
    path = HERE / name
    new = not path.exists()
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, row, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def write_rows(name, rows):
    """Write a list of dicts to experiments/NAME, in place of what is there."""
    with open(HERE / name, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def sweep(name, keys, function, jobs):
    """Call `function(*job)`, which returns a row, for each job whose `keys` are not yet in the table, and add the rows.

    Two jobs at a time, or as many as the first argument of the command line says.
    """
    done = {tuple(row[key] for key in keys) for row in read_rows(name)}
    jobs = [job for job in jobs if tuple(map(str, job)) not in done]
    with multiprocessing.get_context("spawn").Pool(int(sys.argv[1]) if len(sys.argv) > 1 else 2) as pool:
        for result in [pool.apply_async(function, job) for job in jobs]:
            row = result.get()
            print(*row.values(), flush=True)
            add_row(name, row)


def train_quietly(model, data, held_out, adam, seed, epochs=100):
    """The scripts' training procedure. Returns the loss and the share of exact held-out sums of every epoch, and the
    best checkpoint's dict."""
    import torch
    from train_part1 import train

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as output:
        losses = train(model, data, held_out, adam, Path(folder, "model.pt"), epochs, seed)
        checkpoint = torch.load(Path(folder, "model.pt"), weights_only=True)
    return losses, [float(share) / 100 for share in re.findall(r"sums +([0-9.]+) %", output.getvalue())], checkpoint


def new_figure(rows=1, columns=1, size=(8, 4.5)):
    """A figure and its axes, drawn without a screen."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns)


def save_figure(figure, name):
    figure.savefig(HERE / name, dpi=110)
    print("wrote", HERE / name)
