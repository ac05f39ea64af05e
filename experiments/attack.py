"""Is Part 1's verdict ever wrong? Networks at the edge of what it accepts, and float32.

    python experiments/attack.py       minutes of a core; goes on where it stopped

Each family changes a trained network more and more, towards one condition of the
theorem, and bisects for the change at which `prove` ceases to accept it. All that it
accepts on the way run on adversarial streams: in float32 emulated with sums in random
orders, fused and flushed, and in torch. They must get every digit right, and their
memory s must stay in the proven intervals. Writes results/attack.csv, a row a block of
networks, and prints what is wrong with any that refutes the proof.
"""

from collections import Counter

from common import NETWORKS, parse, sweep, train_network

import numpy as np
import torch

from models import WEIGHTS, SynchronousAdder, load
from proof.part1 import lists, prove, split
from proof.search import adversarial_pairs, exact_digits
from train_part1 import part1

TINY = np.float32(2.0**-126)  # smaller numbers are flushed to zero
STREAMS = adversarial_pairs(64).numpy()
ROWS, LONG = 24, 400  # streams of a run, and digits of those in torch
TRAINED = range(50, 100)  # seeds, of part1_ablation.py; what is not there is trained
BLOCKS, BLOCK = 4, 250  # of each family, and networks of a block, at least


# What runs an accepted network, and looks for what is wrong.


def emulate(weights, pairs, generator, fused, flushed):
    """Logits and states, (B, T) and (B, T, H), of digit pairs (B, T, 2) in float32.

    Each unit adds its terms in an order of its own. `fused` rounds product and sum at
    once; `flushed` takes numbers below 2⁻¹²⁶ as zero.
    """
    W_ih, W_hh, b_ih, b_hh, w, c = (weights[name] for name in WEIGHTS)
    cells = np.hstack((W_ih, b_ih[:, None], b_hh[:, None], W_hh))
    output = np.hstack((c[:, None], w))
    orders = [generator.permuted(np.indices(matrix.shape)[1], axis=1)
              for matrix in (cells, output)]
    ones = np.ones((len(pairs), 2), np.float32)
    state, logits, states = np.zeros((len(pairs), len(W_hh)), np.float32), [], []
    with np.errstate(all="ignore"):
        for x in pairs.transpose(1, 0, 2).astype(np.float32):
            values = np.hstack((x, ones, state))
            state = add_up(cells, values, orders[0], fused, flushed).clip(0)
            values = np.hstack((ones[:, :1], state))
            logits.append(add_up(output, values, orders[1], fused, flushed)[:, 0])
            states.append(state)
    return np.stack(logits, 1), np.stack(states, 1)


def add_up(matrix, vectors, orders, fused, flushed):
    """Products (B, H) of a float32 matrix (H, K) with vectors (B, K)."""
    def flush(values):
        return np.where(flushed & (abs(values) < TINY), np.float32(0), values)

    total, rows = np.float32(0), range(len(matrix))
    for places in orders.T:
        a, b = flush(matrix[rows, places]), flush(vectors[:, places])
        if fused:  # a product of two float32 numbers is exact in float64
            total = flush((a.astype(float) * b + total).astype(np.float32))
        else:
            total = flush(total + flush(a * b))
    return total


def in_torch(weights, pairs):
    """What `emulate` gives, as torch does it."""
    model = SynchronousAdder(len(weights[WEIGHTS[1]]), 0.0, constrained=False)
    model.load_state_dict({name: torch.tensor(w) for name, w in weights.items()})
    with torch.inference_mode():
        states = model.eval().rnn(torch.tensor(pairs).float())[0]
        return model.output(states).squeeze(2).numpy(), states.numpy()


def refuted(weights, intervals, generator):
    """What is wrong with an accepted network: "" if nothing is found."""
    v = np.array(split(weights[WEIGHTS[1]].tolist())[1], float)
    intervals = np.array(intervals, float)
    pairs = STREAMS[generator.integers(len(STREAMS), size=ROWS)]
    for fused in (False, True):
        for flushed in (False, True):
            run = emulate(weights, pairs, generator, fused, flushed)
            if problem := misbehaves(pairs, *run, v, intervals):
                return f"{problem}, fused {fused}, flushed {flushed}"
    pairs = np.tile(pairs, (1, -(-LONG // pairs.shape[1]), 1))
    problem = misbehaves(pairs, *in_torch(weights, pairs), v, intervals)
    return f"{problem}, in torch" if problem else ""


def misbehaves(pairs, logits, states, v, intervals):
    """Whether a digit is wrong, or s outside of the interval of its carry."""
    digits = exact_digits(torch.tensor(pairs)).numpy()
    if not np.where(digits == 1, logits > 0, logits < 0).all():  # and NaN is wrong
        return "a digit is wrong"
    total = pairs.sum(2)
    carry = (total + (digits - total) % 2) // 2  # of total and the carry before
    s, room = states @ v, 1e-12 * (states @ abs(v))
    low, high = intervals[carry, 0], intervals[carry, 1]
    return "" if ((low - room <= s) & (s <= high + room)).all() else "s is outside"


# Families: each takes six weights, and gives them changed by a strength t from 0 to 1.


def everything(weights, generator):
    """Every weight moves, by its own size or by its matrix's: conditions 1 to 3."""
    moves = []
    for x in weights:
        sizes = abs(x), abs(x).max() + 0 * x
        moves.append(generator.normal(size=x.shape) * generator.choice(sizes))
    return lambda t: [x + t * move for x, move in zip(weights, moves)]


def logits(weights, generator):
    """The logits come nearer to zero: condition 3."""
    shift = generator.choice([-64.0, 64.0]) * abs(weights[5])
    return lambda t: [*weights[:5], weights[5] + t * shift]


def rest(weights, generator):
    """The recurrent matrix moves away from rank one: condition 4."""
    rest = generator.normal(size=weights[1].shape)
    rest *= generator.random(rest.shape) < generator.uniform(0, 1)
    return lambda t: [weights[0], weights[1] + t * rest, *weights[2:]]


def size(weights, generator):
    """All units become too large or too small for float32: condition 5, flushing."""
    W_ih, W_hh, b_ih, b_hh, w, c = weights
    sign = generator.choice([-256, 256])

    def changed(t):
        factor = 2.0 ** (sign * t)
        return W_ih * factor, W_hh, b_ih * factor, b_hh * factor, w / factor, c

    return changed


def cancellation(weights, generator):
    """Terms that cancel grow, in s or in the logit: two twins of a unit. Rounding."""
    W_ih, W_hh, b_ih, b_hh, w, c = weights
    unit, in_s = generator.integers(len(b_ih)), generator.integers(2)
    units = [*range(len(b_ih)), unit, unit]
    twins = 2.0**28 * np.array([1.0, -1.0])
    u = W_hh[units, unit] / abs(W_hh[:, unit]).max()

    def changed(t):
        recurrent = np.hstack((W_hh[units], t * in_s * np.outer(u, twins)))
        output = np.hstack((w, t * (1 - in_s) * twins[None]))
        return W_ih[units], recurrent, b_ih[units], b_hh[units], output, c

    return changed


FAMILIES = {"weights moved": everything, "logits near zero": logits,
            "rank one and a rest": rest, "float32's ends": size,
            "terms that cancel": cancellation}


def attack(family, block):
    """Row of the table: at least BLOCK networks of a family, judged, and attacked."""
    generator = np.random.default_rng([list(FAMILIES).index(family), block])
    counts = Counter(dict.fromkeys(("tried", "accepted", "crashed", "wrong"), 0))

    def accepts(weights):
        limit = np.finfo(np.float32).max
        weights = {name: np.clip(w, -limit, limit).astype(np.float32)
                   for name, w in zip(WEIGHTS, weights)}
        counts["tried"] += 1
        try:
            verdict = prove(lists(weights))
        except Exception as error:  # a crash, of any kind
            counts["crashed"] += 1
            print(family, block, counts["tried"], repr(error))
            return False
        counts["accepted"] += verdict.proven
        problem = verdict.proven and refuted(weights, verdict.intervals, generator)
        if problem:
            counts["wrong"] += 1
            print(family, block, counts["tried"], problem)
        return verdict.proven

    while counts["tried"] < BLOCK:
        to_the_edge(FAMILIES[family](trained(generator), generator), accepts)
    return {"family": family, "block": block, **counts}


def trained(generator):
    """Weights of a trained network, in float64, in the order of WEIGHTS."""
    seed = int(generator.choice(TRAINED))
    path = NETWORKS / f"part1 the recipe {seed}.pt"
    train_network(part1, seed, path=path)
    weights = load(path, part=1)[1]["state_dict"]
    return [weights[name].double().numpy() for name in WEIGHTS]


def to_the_edge(network, accepts):
    """Bisect for the strength at which a network ceases to be accepted."""
    low, high = -32.0, 0.0  # of the strength's logarithm
    if not accepts(network(2**low)):
        return
    while high - low > 2e-7:
        middle = (low + high) / 2
        low, high = (middle, high) if accepts(network(2**middle)) else (low, middle)


if __name__ == "__main__":
    arguments = parse(__doc__)
    jobs = [(family, block) for family in FAMILIES for block in range(BLOCKS)]
    sweep("attack.csv", ["family", "block"], attack, jobs, arguments.jobs)
