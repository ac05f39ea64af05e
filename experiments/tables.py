"""The tables of the README and the report, in Markdown, from the CSV files of the other scripts.

    python experiments/tables.py       at once; writes them into README.md and report/REPORT.md, where the same heads stand

A test holds that this would change nothing, so that no number there is an older one.
"""

import re
import statistics

from common import HERE, read_rows


def table(head, rows):
    """Markdown. From the dashes pandoc takes how wide columns are to be, each against the others: as its longest cell, or word of the head."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [min(60, max(5, *map(len, name.split()), *(len(row[column]) for row in rows))) for column, name in enumerate(head)]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def part1_sweep():
    names = {"default": "as `train_part1.py` does", "plain": "plainly: none of it", "not of rank one": "without rank one", "no noise": "without noise",
             "no skewed digits": "without skewed digits", "no averaging": "without averaging", "PyTorch's start": "from PyTorch's start"}  # fmt: skip
    rows = []
    for variant, name in names.items():
        mine = [row for row in read_rows("part1_sweep.csv") if row["variant"] == variant]
        counts = [sum(row[key] == value for row in mine) for key, value in (("random_wrong", "0"), ("adversarial_wrong", "0"), ("proven", "yes"))]
        loss = statistics.median(float(row["loss"]) for row in mine)
        rows.append((name, len(mine), *counts[:2], f"**{counts[2]}**", f"{loss:.0e}"))
    return table(("trained", "seeds", "no wrong digit in random 10,000-digit sums", "none in adversarial streams", "proven", "final loss, median"), rows)


def part2_sweep():
    rows = [(row["seed"], row["wrong_sums"], row["smallest_margin"], row["loss"]) for row in read_rows("part2_sweep.csv")]
    return table(("seed", "wrong sums of 43,046,721", "smallest margin of a logit", "loss"), rows)


def part2_start():
    groups = {}
    for row in read_rows("part2_start.csv"):
        groups.setdefault((row["start"], row["rate"]), []).append(f"{100 * float(row['exact']):.1f} %")
    rows = []
    for (start, rate), shares in groups.items():
        cell = start if start in ("GRU", "LSTM") else "ReLU"
        rows.append(("PyTorch's default" if cell != "ReLU" else start, cell, rate, ", ".join(shares)))
    return table(("recurrent weights start as", "cell", "learning rate", "exact sums, each seed"), rows)


def part2_capacity():
    exact = {(row["digits"], row["hidden"]): f"{100 * float(row['exact']):.1f} %" for row in read_rows("part2_capacity.csv")}
    lengths = sorted({digits for digits, _ in exact}, key=int)
    sizes = sorted({hidden for _, hidden in exact}, key=int)
    rows = [(f"{hidden} units", *(exact[digits, hidden] for digits in lengths)) for hidden in sizes]
    return table(("", *(f"{digits} digits" for digits in lengths)), rows)


def part2_margins():
    groups = {}
    for row in read_rows("part2_margins.csv"):
        groups.setdefault(row["variant"], []).append(row)
    rows = [
        (variant, ", ".join(row["smallest_margin"] for row in mine), min(mine, key=lambda row: float(row["smallest_margin"]))["columns"])
        for variant, mine in groups.items()
    ]
    return table(("trained with", "smallest margin found, each seed", "column sums of the least, highest first"), rows)


def benchmark():
    rows = [
        (row["what"], f"{float(row['median']):.2f} {row['unit']}", f"{float(row['lowest']):.2f} to {float(row['highest']):.2f}", row["asked_for"])
        for row in read_rows("benchmark.csv")
    ]
    return table(("what", "median of five", "from, to", "asked for"), rows)


def faults():
    return table(("check", "tries", "failed", "what"), [(f"`{row['check']}`", row["tries"], row["failed"], row["what"]) for row in read_rows("faults.csv")])


TABLES = (part1_sweep, part2_sweep, part2_start, part2_capacity, part2_margins, benchmark, faults)
TEXTS = (HERE.parent / "README.md", HERE.parent / "report" / "REPORT.md")


def refresh(text):
    """The text with every table of ours, known by its head, as it is to be."""
    for make in TABLES:
        new = make()
        text = re.sub(re.escape(new.split("\n")[0]) + r"(\n\|.*)*", lambda _: new, text)
    return text


if __name__ == "__main__":
    for path in TEXTS:
        path.write_text(refresh(path.read_text()))
        print("wrote", path)
