"""Is Part 1's verdict ever wrong? Networks at the edge of what it accepts, and float32.

    python experiments/attack.py       12 minutes of a core; goes on where it stopped

Every network that `prove` accepts runs on adversarial streams, in float32 emulated with
sums in random orders, fused and flushed, and in torch. It must get every digit right,
and its memory s must stay in the proven intervals. Writes results/attack.csv, a row a
block of networks, and prints what is wrong with any that refutes the proof.
"""

import time
from collections import Counter

from common import NETWORKS, parse, sweep, train_network

import numpy as np
import torch

from models import WEIGHTS, SynchronousAdder, load
from proof.part1 import prove, split
from proof.search import adversarial_pairs, exact_digits
from train_part1 import part1

TINY = np.float32(2.0**-126)  # smaller numbers are flushed to zero
STREAMS = adversarial_pairs(64).numpy()
ROWS, LONG = 24, 400  # streams of a run, and digits of those in torch
TRAINED = range(50)  # seeds, of part1_ablation.py; what is not there is trained
BLOCK = 250  # networks, at least


# Float32 without torch: any order, fused or not, flushed or not.


def emulate(weights, pairs, generator, fused=False, flushed=False):
    """Logits and states, (B, T) and (B, T, H), of digit pairs (B, T, 2) in float32.

    Each unit adds its terms in a random order, in three chains that are added last.
    `fused` rounds product and sum at once; `flushed` takes numbers below 2⁻¹²⁶ as zero.
    """
    W_ih, W_hh, b_ih, b_hh, w, c = (weights[name] for name in WEIGHTS)
    cells = np.concatenate((W_ih, b_ih[:, None], b_hh[:, None], W_hh), axis=1)
    cells, output = Sums(cells, generator, fused, flushed), np.hstack((c[None], w))
    output = Sums(output, generator, fused, flushed)
    ones = np.ones((len(pairs), 2), np.float32)
    state = np.zeros((len(pairs), len(W_hh)), np.float32)
    logits, states = [], []
    with np.errstate(all="ignore"):
        for x in pairs.transpose(1, 0, 2).astype(np.float32):
            state = np.maximum(cells(np.hstack((x, ones, state))), np.float32(0))
            logits.append(output(np.hstack((ones[:, :1], state)))[:, 0])
            states.append(state)
    return np.stack(logits, 1), np.stack(states, 1)


class Sums:
    """Products of a float32 matrix (H, K) with vectors (B, K), as some machine does."""

    def __init__(self, matrix, generator, fused, flushed):
        self.orders = generator.permuted(np.indices(matrix.shape)[1], axis=1)
        self.matrix = np.take_along_axis(matrix, self.orders, axis=1).T[:, None]
        self.cuts = np.sort(generator.integers(0, matrix.shape[1] + 1, 2))
        self.fused, self.flushed = fused, flushed

    def __call__(self, vectors):
        terms = self.flush(self.matrix), self.flush(vectors[:, self.orders.T])
        terms = list(zip(terms[0], terms[1].transpose(1, 0, 2)))
        ends = [0, *self.cuts, len(terms)]
        chains = [self.chain(terms[a:b]) for a, b in zip(ends, ends[1:]) if b > a]
        total = chains[0]
        for chain in chains[1:]:
            total = self.flush(total + chain)
        return total

    def chain(self, terms):
        total = np.float32(0)
        for a, b in terms:
            if self.fused:  # a product of two float32 numbers is exact in float64
                total = (a.astype(float) * b + total).astype(np.float32)
            else:
                total = total + self.flush(a * b)
            total = self.flush(total)
        return total

    def flush(self, values):
        if not self.flushed:
            return values
        return np.where(np.abs(values) < TINY, np.float32(0), values)


def in_torch(weights, pairs):
    """What `emulate` gives, as torch does it."""
    model = SynchronousAdder(len(weights[WEIGHTS[1]]), 0.0, constrained=False)
    model.load_state_dict({name: torch.tensor(w) for name, w in weights.items()})
    with torch.inference_mode():
        states = model.eval().rnn(torch.tensor(pairs).float())[0]
        return model.output(states).squeeze(2).numpy(), states.numpy()


def refuted(weights, intervals, generator):
    """What is wrong with an accepted network: "" if nothing is found."""
    W_hh = weights["rnn.weight_hh_l0"]
    v = np.array(split(W_hh.tolist())[1], float)
    intervals = np.array(intervals, float)
    rows = ROWS if len(W_hh) < 50 else 4
    pairs = STREAMS[generator.integers(len(STREAMS), size=rows)]
    for fused in (False, True):
        for flushed in (False, True):
            run = emulate(weights, pairs, generator, fused, flushed)
            if problem := misbehaves(pairs, *run, v, intervals):
                return f"{problem}, fused {fused}, flushed {flushed}"
    word = STREAMS[generator.integers(len(STREAMS), size=rows)]
    pairs = np.tile(word, (1, -(-LONG // word.shape[1]), 1))
    problem = misbehaves(pairs, *in_torch(weights, pairs), v, intervals)
    return f"{problem} in torch" if problem else ""


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


# Families: each draws a network with a knob that, turned far enough, breaks the proof.


def pack(W_ih, W_hh, b_ih, b_hh, w, c):
    """Weights by name, in float32; what overflows becomes the largest number."""
    limit = np.finfo(np.float32).max
    values = (np.clip(x, -limit, limit) for x in (W_ih, W_hh, b_ih, b_hh, w, c))
    return {name: value.astype(np.float32) for name, value in zip(WEIGHTS, values)}


def trained(generator):
    """Weights of a trained network, in float64, in the order of WEIGHTS."""
    seed = int(generator.choice(TRAINED))
    path = NETWORKS / f"part1 the recipe {seed}.pt"
    train_network(part1, seed, path=path)
    weights = load(path, part=1)[1]["state_dict"]
    return [weights[name].double().numpy() for name in WEIGHTS]


def handmade(generator, gap=1.0, copies=1, cancel=(0.0, 0.0)):
    """A random network that adds: step functions of x₁ + x₂ + s at 0, 1 and 2.

    s is `gap` for a carry, plus an offset. Each step is two ramps, and the units are
    split into copies, scaled, shuffled and mirrored at random. With `cancel`, each has
    two twins of so much weight in s and in the logit, which cancel but for rounding.
    """
    offset = generator.choice([0.0, generator.uniform(0, 0.5)])
    kinks = offset + gap * generator.uniform(0.02, 0.45) * np.array([1.0, -1.0])
    kinks = (np.arange(3)[:, None] + kinks + [0, gap]).ravel()
    slope = 1 / (kinks[1] - kinks[0])
    signs = np.tile([1.0, -1.0], 3)
    v = np.append(gap * signs * [0, 0, 1, 1, 0, 0], offset)
    height = generator.uniform(0.1, 10)
    w = np.append(2 * height * signs * [1, 1, -1, -1, 1, 1], 0)
    u, d = np.append(np.full(6, slope), 0), np.append(-slope * kinks, 1)
    twin = np.append(np.zeros(7 * copies), np.tile([1, -1], 7 if any(cancel) else 0))
    unit = np.repeat(range(7), copies)
    unit = np.append(unit, np.repeat(range(7), 2))[: len(twin)]
    share = np.where(twin, 0, generator.uniform(0.5, 2, len(unit)))
    share /= np.bincount(unit, share)[unit]
    scale = np.where(twin, 1, np.exp(generator.normal(0, 1, len(unit))))
    v, w = (x[unit] * share + c * twin for x, c in zip((v, w), cancel))
    u, d = u[unit] * scale, d[unit] * scale
    first = generator.uniform(0, 1, len(unit)) * d
    side = generator.choice([-1.0, 1.0])
    shuffled = generator.permutation(len(unit))
    return [
        np.outer(u, [1, 1])[shuffled],
        np.outer(side * u, side * v / scale)[shuffled][:, shuffled],
        first[shuffled],
        (d - first)[shuffled],
        (w / scale)[None, shuffled],
        -generator.uniform(0.8, 1.2, 1) * height,
    ]


def either(generator):
    return trained(generator) if generator.random() < 0.5 else handmade(generator)


def scaled(weights, factors):
    """The same function, with every unit times its own factor."""
    W_ih, W_hh, b_ih, b_hh, w, c = weights
    W_hh = factors[:, None] * W_hh / factors
    return W_ih * factors[:, None], W_hh, b_ih * factors, b_hh * factors, w / factors, c


def all_weights(weights, generator):
    """Every weight moves, by its own size or by that of its matrix."""
    moves = []
    for x in weights:
        sizes = abs(x), abs(x).max() + 0 * x
        moves.append(generator.normal(size=x.shape) * generator.choice(sizes))
    return lambda t: pack(*(x + t * move for x, move in zip(weights, moves)))


def recurrent_rest(weights, generator):
    """The recurrent matrix moves away from rank one."""
    rest = generator.normal(size=weights[1].shape)
    rest *= generator.random(rest.shape) < generator.uniform(0, 1)
    return lambda t: pack(weights[0], weights[1] + t * rest, *weights[2:])


def powers_of_two(weights, generator):
    """Every unit times its own power of two."""
    exponents = generator.normal(size=len(weights[2]))
    return lambda t: pack(*scaled(weights, np.exp2(np.round(256 * t * exponents))))


def size(weights, generator, sign=1):
    """All units, or the logit, so large or small that float32 ends."""
    units = generator.random() < 0.7
    ones = np.ones(len(weights[2]))

    def network(t):
        factor = 2 ** (256 * sign * t)
        if units:
            return pack(*scaled(weights, factor * ones))
        return pack(*weights[:4], *(x * factor for x in weights[4:]))

    return network


def closeness(generator):
    """Intervals that nearly touch."""
    seed = generator.integers(2**32)
    return lambda t: pack(*handmade(np.random.default_rng(seed), min(1, 2**-16 / t)))


def cancellation(generator):
    """Larger and larger terms that cancel, in s or in the logit."""
    seed, which = generator.integers(2**32), generator.permutation([0.0, 2.0**28])
    return lambda t: pack(
        *handmade(np.random.default_rng(seed), cancel=t * which)
    )


def output_bias(weights, generator):
    """Logits nearer and nearer to zero."""
    shift = generator.choice([-64.0, 64.0]) * abs(weights[5])
    return lambda t: pack(*weights[:5], weights[5] + t * shift)


def any_weights(generator):
    """Weights of all sizes, not made to add; some are zero."""
    hidden = generator.integers(1, 13)
    shapes = (hidden, 2), (hidden, hidden), (hidden,), (hidden,), (1, hidden), (1,)
    lowest = generator.choice([-40, -2])
    highest = generator.choice([2, 38.5])

    def draw(shape):
        values = 10 ** generator.uniform(lowest, highest, shape)
        return values * generator.choice([-1, 0, 1], shape, p=[0.45, 0.1, 0.45])

    weights = pack(*map(draw, shapes))
    return lambda t: weights


FAMILIES = {  # name: (blocks, drawing a network with a knob)
    "trained, weights moved": (6, lambda g: all_weights(trained(g), g)),
    "handmade, weights moved": (6, lambda g: all_weights(handmade(g), g)),
    "rank one and a rest": (4, lambda g: recurrent_rest(either(g), g)),
    "units times powers of two": (4, lambda g: powers_of_two(either(g), g)),
    "sums that nearly overflow": (4, lambda g: size(either(g), g)),
    "states that nearly vanish": (4, lambda g: size(either(g), g, -1)),
    "intervals that nearly touch": (4, closeness),
    "terms that cancel": (4, cancellation),
    "logits near zero": (4, lambda g: output_bias(either(g), g)),
    "50 to 200 units": (1, lambda g: all_weights(handmade(g, 1, g.integers(8, 29)), g)),
    "weights of all sizes": (10, any_weights),
}


def attack(family, block):
    """Row of the table: at least BLOCK networks of a family, judged, and attacked."""
    generator = np.random.default_rng([list(FAMILIES).index(family), block])
    counts = Counter(dict.fromkeys(("tried", "accepted", "crashed", "wrong"), 0))
    slowest = 0.0

    def accepts(weights):
        nonlocal slowest
        counts["tried"] += 1
        start = time.perf_counter()
        try:
            verdict = prove({name: w.tolist() for name, w in weights.items()})
        except Exception as error:  # a crash, of any kind
            counts["crashed"] += 1
            print(family, block, counts["tried"], repr(error))
            return False
        slowest = max(slowest, time.perf_counter() - start)
        counts["accepted"] += verdict.proven
        problem = verdict.proven and refuted(weights, verdict.intervals, generator)
        if problem:
            counts["wrong"] += 1
            print(family, block, counts["tried"], problem)
        return verdict.proven

    while counts["tried"] < BLOCK:
        to_the_edge(FAMILIES[family][1](generator), accepts)
    return {"family": family, "block": block, **counts, "slowest": f"{slowest:.2f}"}


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
    jobs = [(name, block) for name in FAMILIES for block in range(FAMILIES[name][0])]
    sweep("attack.csv", ["family", "block"], attack, jobs, arguments.jobs)
