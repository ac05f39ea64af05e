"""How long does Coq take for a network of any rank, and does it accept all of them?

    python experiments/coq_any_rank.py         minutes; goes on where it stopped

Takes the first of the free networks that any_rank.csv says are proven, from
runs/experiments/, where any_rank.py keeps them. Writes results/coq_any_rank.csv, a row
a network: what Coq says, its seconds of processor time, and any_rank.py's zonotopes.
"""

import os
import tempfile
from functools import partial

from common import NETWORKS, parse, read_rows, sweep

from models import load
from proof import coq, find_any_rank
from proof.part1 import lists


def measure(seed, library):
    """Row of the table; `library` is a folder where Coq is prepared."""
    _, checkpoint = load(NETWORKS / f"part1 not of rank one {seed}.pt", part=1)
    weights = checkpoint["state_dict"]
    verdict, sets = find_any_rank.prove(lists(weights))
    definitions = coq.define_any_rank("trained", weights, sets)
    theorem = coq.THEOREM.format("trained", "sound_any_rank")
    before = os.times().children_user  # 0 on Windows
    done = coq.coqc(library, f"Theorem{seed}.v", coq.HEADER + definitions + theorem)
    seconds = os.times().children_user - before
    accepted = done.returncode == 0 and done.stdout.strip().endswith(coq.CLOSED)
    return {
        "seed": seed,
        "accepted": "yes" if accepted else "no",
        "seconds": f"{seconds:.1f}",
        "zonotopes": verdict.pushes,
    }


if __name__ == "__main__":
    count = parse(__doc__, networks=20)
    free = [row for row in read_rows("any_rank.csv") if row["variant"] == "free"]
    proven = [row["seed"] for row in free if row["any_rank_proven"] == "yes"]
    with tempfile.TemporaryDirectory() as library:
        coq.prepare(library)
        jobs = zip(proven[: count.networks])
        function = partial(measure, library=library)
        rows = sweep("coq_any_rank.csv", ["seed"], function, jobs, count.jobs)
    print("accepted", sum(r["accepted"] == "yes" for r in rows), "of", len(rows))
