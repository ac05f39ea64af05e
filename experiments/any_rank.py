"""How often is a free network, whose recurrent matrix may have any rank, proven?

    python experiments/any_rank.py             goes on where it was stopped

Trains each network, unless its checkpoint is in runs/experiments, where those of
part1_ablation.py are; tests it, and tries both theorems of Part 1. Writes
results/any_rank.csv, a row a network. Seconds are of processor time. The finder was
tuned on other networks, of seeds from 10,000, that were trained from an earlier start.
"""

import time
from functools import partial

from common import NETWORKS, parse, sweep, train_network
from part1_ablation import streams, wrong_digits

from models import fingerprint, load
from proof import find_any_rank, part1
from train_part1 import part1 as settings

VARIANTS = {  # name: (that of its checkpoints, changes of the arguments of part1)
    "free": ("not of rank one", {"constrained": False}),
    "free, PyTorch's start": (
        "free, PyTorch's start", {"constrained": False, "counting": False, "lr": 1e-2},
    ),
}


def measure(variant, seed, limit):
    """Row of the table: one network trained, tested, and proven or not."""
    name, changes = VARIANTS[variant]
    path = NETWORKS / f"part1 {name} {seed}.pt"
    train_network(settings, seed, changes, path=path)
    model, checkpoint = load(path, part=1)
    weights = part1.lists(checkpoint["state_dict"])
    random, adversarial = (wrong_digits(model, pairs) for pairs in streams(seed))
    row = {
        "variant": variant,
        "seed": seed,
        "loss": f"{checkpoint['loss']:.2e}",
        "weights": fingerprint(checkpoint["state_dict"])[:16],
        "random_wrong": random,
        "adversarial_wrong": adversarial,
        "rank_one_proven": "yes" if part1.prove(weights).proven else "no",
    }
    if random or adversarial:
        return row | dict.fromkeys(COLUMNS, "") | {"any_rank_proven": "no"}
    return row | prove(weights, limit)


COLUMNS = (
    "any_rank_proven", "tries", "pushes", "least_logit", "find_s", "check_s", "why"
)


def prove(weights, limit):
    """Cells of COLUMNS: a network's proof, and the seconds to find and to check it."""
    marks = [("", time.process_time())]

    def tell(text):
        marks.append((text, time.process_time()))

    verdict, _ = find_any_rank.prove(weights, time.perf_counter() + limit, tell)
    tell("")
    spans = [(a[0], b[1] - a[1]) for a, b in zip(marks, marks[1:])]
    checking = sum(seconds for text, seconds in spans if "checking" in text)
    finding = sum(seconds for text, seconds in spans) - checking
    tries = sum("looking" in text for text, _ in spans)
    logit = f"{verdict.logit:.3f}" if verdict.proven else ""
    cells = (
        "yes" if verdict.proven else "no", tries, verdict.pushes, logit,
        f"{finding:.2f}", f"{checking:.2f}", verdict.reason or "",
    )
    return dict(zip(COLUMNS, cells))


if __name__ == "__main__":
    arguments = parse(__doc__, first=0, free=100, torch=50, limit=600)
    counts = dict(zip(VARIANTS, (arguments.free, arguments.torch)))
    jobs = [
        (variant, seed)
        for variant, count in counts.items()
        for seed in range(arguments.first, arguments.first + count)
    ]
    function = partial(measure, limit=arguments.limit)
    sweep("any_rank.csv", ["variant", "seed"], function, jobs, arguments.jobs)
