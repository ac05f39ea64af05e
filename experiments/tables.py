"""The tables of the report and of experiments/README.md, from the results.

    python experiments/tables.py       at once; writes them where they are marked

A table stands between `<!-- table NAME -->` and `<!-- end -->`.
"""

import math
import re
import statistics

from common import ROOT, parse, read_rows

from models import write_whole

TEXTS = "experiments/README.md", "report/REPORT.md"
MARKED = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def markdown(head, rows):
    """Markdown table. Pandoc takes the columns' widths from the dashes."""
    rows = [tuple(map(str, row)) for row in (head, *rows)]
    dashes = ["-" * max(map(len, column)) for column in zip(*rows)]
    lines = [rows[0], dashes, *rows[1:]]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def groups(name, *keys):
    """Rows of a results table by the values of some columns, in the table's order."""
    found = {}
    for row in read_rows(f"{name}.csv"):
        found.setdefault(tuple(row[key] for key in keys), []).append(row)
    return found


def column(rows, name):
    return [float(row[name]) for row in rows]


def spread(rows, digits, name="exact"):
    """Median of a column of shares in percent and, if they differ, its range.

    All are rounded down, so that 100 means that every sum is right.
    """
    values = sorted(column(rows, name))
    values = statistics.median(values), values[0], values[-1]
    values = (math.floor(share * 10 ** (2 + digits)) / 10**digits for share in values)
    middle, low, high = (f"{value:.{digits}f}" for value in values)
    return middle if low == high else f"{middle} ({low} to {high})"


def interval(good, count):
    """95 % interval of a share in percent, rounded outwards (Clopper & Pearson)."""
    def chance(some, share):
        """Probability that the number of good ones is among `some`."""
        ways = {k: math.comb(count, k) for k in some}
        return sum(n * share**k * (1 - share) ** (count - k) for k, n in ways.items())

    fewer, more = range(good + 1), range(good, count + 1)
    inside = [
        thousandths
        for thousandths in range(1001)
        if min(chance(some, thousandths / 1000) for some in (fewer, more)) >= 0.025
    ]
    return f"{inside[0] // 10} to {-(-inside[-1] // 10)} %"


def part1_ablation():
    head = "trained", "seeds", "right: random", "adversarial", "proven", "95 % interval"
    rows = []
    for (name,), group in groups("part1_ablation", "variant").items():
        right = [column(group, f"{kind}_wrong") for kind in ("random", "adversarial")]
        proven = sum(row["proven"] == "yes" for row in group)
        shares = *(x.count(0) for x in right), f"**{proven}**"
        rows.append((name, len(group), *shares, interval(proven, len(group))))
    return markdown(head, rows)


def any_rank():
    """Beside rank one; costs are the median and the largest of those proven."""
    head = ("trained", "seeds", "right", "95 %", "proven", "of the right, 95 %",
            "seconds to find", "to check", "zonotopes")
    recipe = groups("part1_ablation", "variant")[("the recipe",)]
    rows = []
    networks = {("of rank one",): recipe, **groups("any_rank", "variant")}
    for (name,), group in networks.items():
        right = [r for r in group if r["random_wrong"] == r["adversarial_wrong"] == "0"]
        key = "any_rank_proven" if "any_rank_proven" in group[0] else "proven"
        proven = [row for row in group if row[key] == "yes"]
        shares = interval(len(right), len(group)), interval(len(proven), len(right))
        costs = [
            f"{statistics.median(values):,.{digits}f}, {max(values):,.{digits}f}"
            for name, digits in (("find_s", 1), ("check_s", 1), ("pushes", 0))
            if name in proven[0] and (values := column(proven, name))
        ] or [""] * 3
        cells = len(right), shares[0], f"**{len(proven)}**", shares[1], *costs
        rows.append((name, len(group), *cells))
    return markdown(head, rows)


def part2_ablation():
    head = ("trained", "seeds", "none found wrong", "95 % interval",
            "margins found: least, median, largest")
    rows = []
    for (name,), group in groups("part2_ablation", "variant").items():
        margins = column(group, "smallest_margin")
        none_wrong = sum(margin > 0 for margin in margins)
        share = interval(none_wrong, len(group))
        values = min(margins), statistics.median(margins), max(margins)
        listed = ", ".join(f"{value:.2f}" for value in values)
        rows.append((name, len(group), f"**{none_wrong}**", share, listed))
    return markdown(head, rows)


def part2_seeds():
    names = "seed", "unproven", "smallest_margin", "loss"
    rows = groups("part2_seeds", "arithmetic")[("float32",)]
    head = "seed", "wrong cases", "smallest margin", "loss"
    return markdown(head, ([row[name] for name in names] for row in rows))


def part2_start():
    head = "start, or cell", "learning rate", "seeds", "exact sums (%)"
    cells = groups("part2_start", "start", "rate").items()
    return markdown(head, ((*key, len(rows), spread(rows, 1)) for key, rows in cells))


def part2_plain():
    lengths = 2, 4, 8, 16
    rows = []
    for (rate,), group in groups("part2_plain", "rate").items():
        digits, sums = (
            [spread(group, 0, f"{kind}_{n}") for n in lengths]
            for kind in ("digits", "exact")
        )
        rows += [(rate, len(group), "digits", *digits), (rate, "", "sums", *sums)]
    head = "learning rate", "seeds", "right", *(f"{n} digits" for n in lengths)
    return markdown(head, rows)


def part2_capacity():
    cells = groups("part2_capacity", "hidden", "digits")
    sizes, lengths = (list(dict.fromkeys(names)) for names in zip(*cells))
    rows = [[spread(cells[size, length], 0) for length in lengths] for size in sizes]
    head = "", *(f"{length} digits" for length in lengths)
    return markdown(head, ((f"{n} units", *row) for n, row in zip(sizes, rows)))


def attack():
    names = "tried", "accepted", "wrong", "crashed"
    families = groups("attack", "family") | {("**all**",): read_rows("attack.csv")}
    rows = [
        (family, *(int(sum(column(group, name))) for name in names))
        for (family,), group in families.items()
    ]
    return markdown(("family", *names), rows)


def parallel():
    head = "digits", "step by step (s)", "carry select (s)", "ratio", "memory (MB)"
    rows = []
    for (size,), group in groups("parallel", "size").items():
        if group[-1]["what"] == "carry select":
            slow, fast = column(group[-2:], "seconds")
            memory = " and ".join(row["megabytes"] for row in group[-2:])
            rows.append((size, slow, fast, f"{slow / fast:.1f}", memory))
    return markdown(head, rows)


def benchmark():
    rows = read_rows("benchmark.csv")
    return markdown(rows[0], (row.values() for row in rows))


TABLES = {
    "part1_ablation": part1_ablation,
    "any_rank": any_rank,
    "part2_ablation": part2_ablation,
    "part2_seeds": part2_seeds,
    "part2_start": part2_start,
    "part2_plain": part2_plain,
    "part2_capacity": part2_capacity,
    "attack": attack,
    "parallel": parallel,
    "benchmark": benchmark,
}


def refresh(text):
    """The text, with every marked table as the results are now."""
    return MARKED.sub(lambda match: match[1] + TABLES[match[2]]() + match[3], text)


if __name__ == "__main__":
    parse(__doc__, jobs=0)
    for name in TEXTS:
        path = ROOT / name
        write_whole(path, refresh(path.read_text(encoding="utf-8")).encode())
        print("wrote", name)
