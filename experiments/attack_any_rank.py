"""Is the verdict of proof/any_rank.py ever wrong? Networks at the edge of acceptance.

    python experiments/attack_any_rank.py

The shipped network's weights move in a random direction until a proof is hardly found:
eight halvings find the largest size of the move with a proof in LIMIT seconds. Then up
to STATES states are drawn in each of the certificate's sets, half of them near corners,
and run for STEPS random pairs in four WAYS: in float32, with sums in random orders,
also fused, or flushed; and with errors as large as the theorem allows, of random signs.
Writes results/attack_any_rank.csv, a row a network: the size, states, digits of each
way, and for each way the number of wrong digits and of states above their bounds.
"""

import time

from attack import add_up
from common import ROOT, parse, sweep

import numpy as np

from models import WEIGHTS, load
from proof import find_any_rank
from proof.any_rank import FULL
from proof.part1 import PAIRS, Network, lists, rounding

LIMIT, STATES, STEPS = 15, 400, 40
WAYS = "float32", "fused", "flushed", "largest errors"


def attack(family, seed):
    """Row of the table: how far weights could move, and what then went wrong."""
    generator = np.random.default_rng([list(FAMILIES).index(family), seed])
    path = ROOT / "pretrained" / "part1.pt"
    start = {n: w.numpy() for n, w in load(path, part=1)[1]["state_dict"].items()}
    moves = FAMILIES[family](start, generator)
    weights = certificate = None
    low, high = 2.0**-8, 1.0  # of the moves' size, bisected in its logarithm
    for _ in range(8):
        size = (low * high) ** 0.5
        moved = {n: np.float32(w + size * moves[n]) for n, w in start.items()}
        found = find_any_rank.prove(lists(moved), time.perf_counter() + LIMIT)[1]
        if found:
            weights, certificate, low = moved, found, size
        else:
            high = size
    row = {"family": family, "seed": seed, "size": f"{low:.4f}"}
    row |= {"states": 0, "digits": 0}
    if not certificate:
        return row | dict.fromkeys(WAYS, "")
    nodes, states = draw(certificate, generator)
    row |= {"states": len(states), "digits": len(states) * STEPS}
    for way in WAYS:
        row[way] = run(weights, certificate, nodes, states, way, generator)
    return row


def draw(certificate, generator):
    """Nodes (B,) and states (B, H) in their sets, between 0 and the bounds."""
    m, T = (np.array(x, float) for x in (certificate.centres, certificate.columns))
    nodes = np.repeat(np.arange(len(m)), STATES)
    y = generator.uniform(-1, 1, (len(nodes), m.shape[1]))
    y[::2] = np.sign(y[::2]) * generator.uniform(0.8, 1, (len(y[::2]), 1))
    T = T.transpose(0, 2, 1)[nodes]
    z = np.float32((m[nodes] + (T @ y[:, :, None])[:, :, 0]).clip(0, FULL))
    y = np.linalg.solve(T, (z - m[nodes])[:, :, None])
    inside = (abs(y) <= 1 - 1e-9).all((1, 2))  # clipped or rounded, it may be outside
    return nodes[inside], (z / FULL * 2.0 ** np.array(certificate.exponents))[inside]


def run(weights, certificate, nodes, states, way, generator):
    """Number of wrong digits, and of states above a bound, in runs from the states."""
    H = 2.0 ** np.array(certificate.exponents)
    net = Network(lists(weights))
    ρ = np.array(rounding(net.unit_terms, [1] * 4 + H.tolist())[0], float)
    ρ_w = float(rounding(net.logit_terms, [1, *H.tolist()])[0][0])
    W_ih, W_hh, b_ih, b_hh, w, c = (weights[name] for name in WEIGHTS)
    cells = np.column_stack((W_ih, b_ih, b_hh, W_hh))
    output = np.column_stack((c, w))
    total, h, wrong = np.array(certificate.totals)[nodes], np.float32(states), 0
    odds = generator.dirichlet([0.3] * 4, len(h)).cumsum(1)
    for _ in range(STEPS):
        draws = generator.random((len(h), 1))
        x = np.array(PAIRS)[(draws > odds).sum(1).clip(0, 3)]
        total = x.sum(1) + total // 2
        ones = np.ones((len(h), 1))
        h = np.maximum(sums(cells, (x, ones, ones, h), way, generator, ρ), 0)
        logits = sums(output, (ones, h), way, generator, ρ_w)[:, 0]
        wrong += int((np.where(total % 2, logits > 0, logits < 0) == 0).sum())
        wrong += int((~(h <= H)).sum())  # NaN, too
    return wrong


def sums(matrix, parts, way, generator, ρ):
    """Products (B, H) of a matrix and vectors, as some machine might compute them."""
    vectors = np.column_stack(parts)
    if way == "largest errors":
        exact = vectors.astype(float) @ matrix.T.astype(float)
        return exact + ρ * generator.choice([-1, 1], exact.shape)
    orders = generator.permuted(np.indices(matrix.shape)[1], axis=1)
    fused, flushed = way == "fused", way == "flushed"
    return add_up(matrix, np.float32(vectors), orders, fused, flushed)


def rest(weights, generator):
    """The recurrent matrix moves away from rank one."""
    moves = {name: 0 * w for name, w in weights.items()}
    name = WEIGHTS[1]
    return moves | {name: generator.normal(size=weights[name].shape)}


def all_weights(weights, generator):
    """Each weight moves by its own size."""
    return {n: w * generator.normal(size=w.shape) for n, w in weights.items()}


def memory(weights, generator):
    """The recurrent matrix shrinks, each row by its own share: carries fade."""
    moves = {name: 0 * w for name, w in weights.items()}
    name = WEIGHTS[1]
    return moves | {name: -weights[name] * generator.random((len(weights[name]), 1))}


def logit(weights, generator):
    """Only the output's bias moves."""
    moves = {name: 0 * w for name, w in weights.items()}
    return moves | {WEIGHTS[5]: 30 * generator.normal(size=1)}


FAMILIES = {
    "rest": rest, "all weights": all_weights, "memory": memory, "output bias": logit,
}


if __name__ == "__main__":
    arguments = parse(__doc__, networks=3)
    jobs = [(name, seed) for name in FAMILIES for seed in range(arguments.networks)]
    sweep("attack_any_rank.csv", ["family", "seed"], attack, jobs, arguments.jobs)
