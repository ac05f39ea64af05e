"""Does Coq accept what proof/part1.py proves, and nothing else, up to the very edge?

    python experiments/coq_agreement.py        minutes; goes on where it was stopped
    python experiments/coq_agreement.py --first 10000 --seeds 5

For each of 50 seeds: the trained network, which is that of runs/experiments/ if it is
there, and two that were perturbed at random, one of which stays of rank one. Each is
just before and just after it ceases to be proven; just after, the intervals of just
before are tried as well. Writes results/coq_agreement.csv, a row a seed: both verdicts
on these, 1 for proven, and the sizes of the perturbations.
"""

import tempfile
from functools import partial

from common import NETWORKS, parse, sweep, train_network

import torch

from models import load
from proof import coq, part1
from proof.part1 import lists
from train_part1 import part1 as settings

NONE = (0, 0), (0, 0)  # intervals that no network keeps


def perturb(weights, noise, of_rank_one, size):
    """Weights, changed by noise of a size that is relative to each of them."""
    factors = {name: 1 + size * values for name, values in noise.items()}
    if of_rank_one:
        factors["rnn.weight_hh_l0"] = torch.outer(*factors["rnn.weight_hh_l0"][:2])
    return {name: weight * factors[name] for name, weight in weights.items()}


def find_edge(network, inside=0.0, outside=1.0):
    """Size up to which network(size) is proven, and a slightly larger one."""
    for _ in range(20):
        size = (inside + outside) / 2
        proven = part1.prove(lists(network(size))).proven
        inside, outside = (size, outside) if proven else (inside, size)
    return inside, outside


def measure(seed, library):
    """Row of the table; `library` is a folder where Coq is prepared."""
    path = NETWORKS / f"part1 the recipe {seed}.pt"
    train_network(settings, seed, path=path)
    weights = load(path, part=1)[1]["state_dict"]
    torch.manual_seed(seed)
    noise = {name: torch.randn(weight.shape) for name, weight in weights.items()}
    cases, row = [(weights, part1.prove(lists(weights)))], {"seed": seed}
    for of_rank_one in (True, False):
        network = partial(perturb, weights, noise, of_rank_one)
        edge = find_edge(network)
        cases += [(net, part1.prove(lists(net))) for net in map(network, edge)]
        (_, before), (after, _) = cases[-2:]
        cases.append((after, part1.check(lists(after), before.intervals)))
        row["rank_one" if of_rank_one else "any_rank"] = f"{edge[0]:.2e}"
    texts = {f"n{i}": coq.define(f"n{i}", net, verdict.intervals or NONE)
             for i, (net, verdict) in enumerate(cases)}
    row["python"] = " ".join(str(int(verdict.proven)) for _, verdict in cases)
    row["coq"] = " ".join(str(int(value)) for value in coq.verdicts(library, texts))
    return row


if __name__ == "__main__":
    arguments = parse(__doc__, first=0, seeds=50)
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    with tempfile.TemporaryDirectory() as library:
        coq.prepare(library)
        function, jobs = partial(measure, library=library), zip(seeds)
        rows = sweep("coq_agreement.csv", ["seed"], function, jobs, arguments.jobs)
    print("agree on", sum(row["python"] == row["coq"] for row in rows), "of", len(rows))
