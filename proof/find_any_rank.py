"""The finder of certificates for any_rank.py: in floats, as the checker decides.

Each node's parallelotope starts around sampled states. All are pushed, over and over;
where what comes out is still outside after DEPTH steps, the parallelotope grows. Their
axes matter most: they balance where states are (covariance) against what they do later
(observability Gramian). Principal components alone find 3 proofs of 10.

Shapes: H units, B zonotopes in a batch, which is (nodes, centres (B, H), generators
(B, H, K), halvings left).
"""

import time
from itertools import product
from math import inf

import numpy as np

from proof.any_rank import FULL, M, WORDS, Certificate, Verdict, check
from proof.part1 import PAIRS, WEIGHTS
from proof.search import adversarial_pairs

LARGEST = 50  # units; more take too long
DEPTH, ROUNDS = 6, 25
SLACK = 1e-4  # of each unit and step, relative to its largest sampled value
GAIN = 0.02  # by which what grows becomes too large, relative to its width


class TimeUp(Exception):
    """The deadline has passed."""


def prove(weights, deadline=inf, tell=lambda text: None, progress=lambda: None):
    """Verdict of the checker on the first certificate it accepts, and the certificate.

    `tell` hears what is tried, and what `progress()` returns hears what share of a
    certificate is checked. The deadline is one of `time.perf_counter`.
    """
    verdict = Verdict(False, "no sets of states were found", 0, None)
    try:
        runs = Runs(weights) if len(weights[WEIGHTS[1]]) <= LARGEST else None
        for number, setting in enumerate(SETTINGS if runs and runs.bounded else (), 1):
            tell(f"try {number} of {len(SETTINGS)}: looking for sets of states")
            certificate = find(runs, *setting, deadline)
            if certificate:
                tell(f"try {number} of {len(SETTINGS)}: checking them")
                verdict = check(weights, certificate, deadline, progress())
            if verdict.proven:
                return verdict, certificate
    except TimeUp:
        verdict = verdict._replace(reason="time is up")
    return verdict, None


def find(runs, automaton, memory, margin, width, halvings, budget, deadline=inf):
    """A certificate that holds in floats, or None."""
    sets = Sets(runs, *automaton(memory), margin)
    for _ in range(ROUNDS):
        bad, excess = sets.sweep(width, halvings, budget, deadline)
        if not bad:
            return sets.certificate(width, halvings)
        if excess > 3:
            return None


def totals(memory):
    """n and edges of nodes that know the last column totals."""
    words = [
        word
        for word in product(range(4), repeat=memory)
        if all(0 <= b - a // 2 <= 2 for a, b in zip(word, word[1:]))
    ]
    after = [[(*word, word[-1] // 2 + n)[1:] for n in range(3)] for word in words]
    return [w[-1] for w in words], [[words.index(w) for w in row] for row in after]


def pairs(memory):
    """n and edges of nodes that know the last pairs and the carry before them."""
    words = list(product((0, 1), *[range(4)] * memory))

    def last(carry, *indices):
        for x in indices:
            total = carry + sum(PAIRS[x])
            carry = total // 2
        return total

    after = [[(last(*w[:2]) // 2, *w[2:], x) for x in range(4)] for w in words]
    return [last(*w) for w in words], [[words.index(w) for w in row] for row in after]


SETTINGS = (  # automaton, its memory, first margin, width, halvings, pushes of a sweep
    (totals, 2, 0.02, 0.02, 6, 20_000),
    (totals, 2, 0.02, 0.005, 10, 60_000),
    (totals, 3, 0.02, 0.01, 8, 60_000),
    (pairs, 2, 0.02, 0.02, 6, 60_000),
    (pairs, 2, 0.02, 0.005, 10, 150_000),
)


class Runs:
    """A network in floats, its units scaled by powers of two, and sampled runs.

    edges   (T, B) indices in PAIRS of what is read
    states  (T, B, H) after it, at most 1, and which units are `on`
    """

    def __init__(self, weights):
        W_ih, W, b_ih, b_hh, (w,), (c,) = (np.array(weights[n], float) for n in WEIGHTS)
        d = np.array(PAIRS) @ W_ih.T + b_ih + b_hh
        pairs = adversarial_pairs(300).numpy()
        random = np.random.default_rng(0).integers(0, 2, (400, *pairs.shape[1:]))
        pairs = np.concatenate((pairs, random)).transpose(1, 0, 2)
        self.read = 2 * pairs[..., 0] + pairs[..., 1]
        h, before = np.zeros((self.read.shape[1], len(w))), []
        with np.errstate(all="ignore"):
            for x in self.read:
                before.append(h @ W.T + d[x])
                h = np.maximum(before[-1], 0)
        before = np.array(before)
        largest = np.maximum(before.max((0, 1)), abs(before).max((0, 1)) / 8)
        self.bounded = bool((largest < 2.0**120).all())  # and not NaN
        self.exponents = np.frexp(np.maximum(largest, 2.0**-120))[1]
        scale = 2.0**self.exponents
        self.W, self.d = W * scale / scale[:, None], d / scale
        self.w, self.c = w * scale, c
        self.on, self.states = before > 0, np.maximum(before / scale, 0)

    def gramians(self, nodes, streams=300, steps=120):
        """Mean observability Gramians (J, H, H), of one-hot nodes (T, B, J)."""
        few = np.random.default_rng(0).permutation(nodes.shape[1])[:streams]
        eye = np.eye(len(self.w))
        Q, total, count = np.tile(eye, (streams, 1, 1)), 0, 1e-9
        for t in range(steps - 1, 0, -1):
            J = self.on[t, few][:, :, None] * self.W
            Q = eye + J.transpose(0, 2, 1) @ Q @ J  # of the state before step t
            if t < steps - 30:
                total = total + np.tensordot(nodes[t - 1, few], Q, (0, 0))
                count = count + nodes[t - 1, few].sum(0)
        return total / count[:, None, None]


class Sets:
    """A parallelotope for each node: low <= F h <= high, where F is T's inverse."""

    def __init__(self, runs, totals, after, margin):
        self.runs, self.totals, self.after = runs, np.array(totals), np.array(after)
        self.eye, words = np.eye(len(runs.w)), WORDS[len(after[0])]
        edges = np.array([[x in word for word in words].index(True) for x in PAIRS])
        ends = [runs.d[[PAIRS.index(word[i]) for word in words]] for i in (0, -1)]
        self.middle, self.half = (ends[0] + ends[1]) / 2, (ends[0] - ends[1]) / 2
        nodes = [np.zeros(runs.read.shape[1], int)]
        for x in runs.read:
            nodes.append(self.after[nodes[-1], edges[x]])
        nodes = np.array(nodes[1:])
        gramians = runs.gramians(np.eye(len(totals))[nodes])
        sets = [
            self.around(runs.states[nodes == j], Q, margin)
            for j, Q in enumerate(gramians)
        ]
        self.T, self.F, self.low, self.high = map(np.array, zip(*sets))

    def around(self, states, Q, margin):
        """T, F, low and high of sampled states, balanced against their Gramian Q."""
        L = np.linalg.cholesky(np.cov(states.T, bias=True) + 1e-4 * self.eye)
        T = L @ np.linalg.eigh(L.T @ Q @ L)[1]
        T /= np.linalg.norm(T, axis=0)
        F = np.linalg.inv(T)
        y = states @ F.T
        room = margin * np.ptp(y, axis=0) / 2 + 2e-3 * np.linalg.norm(F, axis=1)
        return T, F, y.min(0) - room, y.max(0) + room

    def sweep(self, width, halvings, budget, deadline):
        """Push all sets until what comes out is inside them; grow them otherwise.

        Returns how many zonotopes are outside or have a wrong logit, and the largest
        excess of one: infinity if growing does not help, or with the budget used up.
        """
        runs, bad, excess = self.runs, 0, -inf
        low, high = self.low.copy(), self.high.copy()
        m = (self.T @ (low + high)[:, :, None] / 2)[:, :, 0]
        G = self.T * (high - low)[:, None] / 2
        nodes = np.append(np.arange(len(m)), 0)  # and the start, which is {0}
        batch = nodes, np.vstack((m, 0 * m[:1])), np.concatenate((G, 0 * G[:1]))
        stack = [(DEPTH, (*batch, np.full(len(nodes), halvings)))]
        while stack:
            depth, batch = stack.pop()
            if len(batch[0]) * len(runs.w) ** 2 > 51_200:  # a few MB
                stack += [(depth, pick(batch, slice(i, None, 2))) for i in (0, 1)]
                continue
            if time.perf_counter() > deadline:
                raise TimeUp
            batch = nodes, m, G, _ = self.push(batch, width)
            budget -= len(nodes)
            if budget < 0:
                return 1, inf
            logits = (2 * (self.totals[nodes] % 2) - 1) * (m @ runs.w + runs.c)
            bad += (logits <= abs(runs.w @ G).sum(1)).sum()
            F = self.F[nodes]
            y, r = (F @ m[:, :, None])[:, :, 0], abs(F @ G).sum(2)
            over = np.maximum(self.low[nodes] - (y - r), y + r - self.high[nodes])
            out = (over > 0).any(1)
            if depth > 1 and out.any():
                stack.append((depth - 1, pick(batch, out)))
            elif out.any():
                bad, excess = bad + out.sum(), max(excess, over.max())
                j, room = nodes[out], GAIN * (over[out] > 0)
                room = room * (self.high - self.low)[j]
                np.minimum.at(low, j, (y - r)[out] - room)
                np.maximum.at(high, j, (y + r)[out] + room)
        self.low, self.high = low, high
        return bad, excess if excess > 0 else inf

    def push(self, batch, width):
        """Batch of what comes out, halved where μ adds up to more than the width."""
        nodes, m, G, left = batch
        edges = len(self.middle)
        m = ((m @ self.runs.W.T)[:, None] + self.middle).reshape(-1, len(self.eye))
        G = np.repeat(self.runs.W @ G, edges, axis=0)
        half = np.tile(self.half[:, :, None], (len(nodes), 1, 1))
        G = np.concatenate((G, half), axis=2)
        todo, done = (self.after[nodes].ravel(), m, G, np.repeat(left, edges)), []
        while len(todo[0]):
            image, μ, k = self.relu(todo)
            wide = (μ > width) & (todo[3] > 0)
            done.append(pick(image, ~wide))
            todo = halve(pick(todo, wide), k[wide])
        return tuple(map(np.concatenate, zip(*done)))

    def relu(self, batch):
        """Batch of images, what μ adds up to (B,), and the generators to halve (B,)."""
        nodes, m, G, left = batch
        sizes = abs(G)
        reach = np.maximum(sizes.sum(2), 1e-12)
        low, high = m - reach, m + reach
        λ = np.clip(high / (2 * reach), 0, 1)
        μ = np.where(low < 0, -λ * low / 2, 0)
        own = (μ + SLACK * (high > 0))[:, :, None] * self.eye
        image = nodes, λ * m + μ, np.concatenate((λ[:, :, None] * G, own), axis=2), left
        return image, μ.sum(1), ((μ / reach)[:, None] @ sizes)[:, 0].argmax(1)

    def certificate(self, width, halvings):
        """The sets in integers. The bounds H are twice the scale of the units."""
        middle, half = ((self.high + s * self.low)[:, :, None] / 2 for s in (1, -1))
        return Certificate(
            self.totals.tolist(),
            self.after.tolist(),
            (self.runs.exponents + 1).tolist(),
            whole((self.T @ middle)[:, :, 0] * FULL / 2),
            whole(half * self.T.transpose(0, 2, 1) * FULL / 2),
            whole(self.F / half * 2 * 2**M),
            DEPTH,
            halvings,
            int(width * FULL / 2),
        )


def pick(batch, index):
    return tuple(part[index] for part in batch)


def halve(batch, k):
    """Twice as large a batch: zonotope i is halved along its generator k[i]."""
    nodes, m, G, left = batch
    rows, G = np.arange(len(k)), G.copy()
    half = G[rows, :, k] = G[rows, :, k] / 2
    m = np.vstack((m + half, m - half))
    return np.tile(nodes, 2), m, np.tile(G, (2, 1, 1)), np.tile(left - 1, 2)


def whole(values):
    return np.rint(values).astype(np.int64).tolist()
