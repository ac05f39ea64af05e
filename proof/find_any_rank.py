"""The finder of certificates for any_rank.py, in floats: the checker has the last word.

Each node's parallelotope starts around sampled states. All are pushed until what comes
out is inside one; what is not after DEPTH steps makes the one where it is grow. All
hangs on their axes: those that balance where states are (covariance P) against what
they do later (observability Gramian Q) do it, principal components do not.
"""

import time
from itertools import product
from math import inf

import numpy as np

from proof.any_rank import FULL, M, WORDS, Certificate, Verdict, check
from proof.part1 import PAIRS, WEIGHTS
from proof.search import adversarial_pairs

DEPTH, ROUNDS, BATCH = 6, 25, 512
SLACK = 1e-4  # of every unit and step, in units of its largest value
GAIN = 0.02  # of a parallelotope that is too small, relative to it


class TimeUp(Exception):
    """The deadline has passed."""


def prove(weights, deadline=inf, tell=lambda text: None, progress=lambda: None):
    """Verdict of the checker on the first certificate it accepts, and the certificate.

    `tell` hears what is tried, and what `progress()` returns is any_rank.check's report.
    """
    verdict, net = Verdict(False, "no sets of states were found", 0, None), Net(weights)
    try:
        for number, setting in enumerate(SETTINGS if net.bounded else (), 1):
            tell(f"try {number} of {len(SETTINGS)}, to find sets of states")
            certificate = find(net, *setting, deadline=deadline)
            if certificate:
                tell(f"try {number} of {len(SETTINGS)}, to check them")
                verdict = check(weights, certificate, deadline, progress())
            if verdict.proven:
                return verdict, certificate
    except TimeUp:
        verdict = verdict._replace(reason="time is up")
    return verdict, None


def totals(memory):
    """Total and next nodes of each node: the last totals of columns."""
    words = [
        word for word in product(range(4), repeat=memory)
        if all(0 <= b - a // 2 <= 2 for a, b in zip(word, word[1:]))
    ]
    after = [[(*w, w[-1] // 2 + n)[1:] for n in range(3)] for w in words]
    return [w[-1] for w in words], [[words.index(w) for w in row] for row in after]


def pairs(memory):
    """Total and next nodes of each node: a carry, and the last pairs after it."""
    words = list(product((0, 1), *[range(4)] * memory))

    def last(carry, *word):
        for x in word:
            total = carry + sum(PAIRS[x])
            carry = total // 2
        return total

    after = [[(last(*w[:2]) // 2, *w[2:], x) for x in range(4)] for w in words]
    return [last(*w) for w in words], [[words.index(w) for w in row] for row in after]


SETTINGS = (  # automaton, its memory, first margin, width, halvings, pushes at most
    (totals, 2, 0.02, 0.02, 6, 20_000),
    (totals, 2, 0.02, 0.005, 10, 60_000),
    (totals, 3, 0.02, 0.01, 8, 60_000),
    (pairs, 2, 0.02, 0.02, 6, 60_000),
    (pairs, 2, 0.02, 0.005, 10, 150_000),
)


class Net:
    """A network in floats, its units scaled by powers of two, and sampled runs."""

    def __init__(self, weights):
        W_ih, W, b_ih, b_hh, (w,), (c,) = (np.array(weights[n], float) for n in WEIGHTS)
        d = np.array(PAIRS) @ W_ih.T + b_ih + b_hh
        pairs = adversarial_pairs(300).numpy()
        random = np.random.default_rng(0).integers(0, 2, (400, *pairs.shape[1:]))
        pairs = np.concatenate((pairs, random)).transpose(1, 0, 2)
        self.words = 2 * pairs[..., 0] + pairs[..., 1]
        h, before = np.zeros((len(self.words[0]), len(w))), []
        with np.errstate(all="ignore"):
            for x in self.words:
                before.append(h @ W.T + d[x])
                h = np.maximum(before[-1], 0)
        before = np.array(before)
        largest = np.maximum(before.max((0, 1)), abs(before).max((0, 1)) / 8)
        self.bounded = (largest < 2.0**120).all()  # and not NaN
        self.exponents = np.frexp(np.maximum(largest, 2.0**-120))[1]
        scale = 2.0**self.exponents
        self.W, self.d, self.w, self.c = W * scale / scale[:, None], d / scale, w * scale, c
        self.on, self.states = before > 0, np.maximum(before / scale, 0)

    def gramians(self, nodes, count, streams=300, steps=120):
        """Mean observability Gramian of each node along sampled runs."""
        few = np.random.default_rng(0).permutation(len(self.words[0]))[:streams]
        eye = np.eye(len(self.w))
        Q, sums, seen = np.tile(eye, (streams, 1, 1)), np.zeros((count, *eye.shape)), np.zeros(count)
        for t in range(steps - 1, 0, -1):
            J = self.on[t, few][:, :, None] * self.W
            Q = eye + J.transpose(0, 2, 1) @ Q @ J
            if t < steps - 30:
                at = nodes[t - 1, few]
                np.add.at(sums, at, Q)
                np.add.at(seen, at, 1)
        return sums / np.maximum(seen, 1)[:, None, None]


class Boxes:
    """A parallelotope for each node: low <= F h <= high, with T the inverse of F."""

    def __init__(self, net, total, after, margin):
        self.net, self.totals, self.after = net, np.array(total), np.array(after)
        nodes, node = [], np.zeros(len(net.words[0]), int)
        words = WORDS[len(after[0])]
        edge = np.array([k for x in PAIRS for k, word in enumerate(words) if x in word])
        for x in net.words:
            node = self.after[node, edge[x]]
            nodes.append(node)
        nodes = np.array(nodes)
        self.T, self.F, self.low, self.high = [], [], [], []
        ends = [[net.d[PAIRS.index(x)] for x in (word[0], word[-1])] for word in words]
        self.drives = np.array([[(a + b) / 2, (a - b) / 2] for a, b in ends])
        eye = np.eye(len(net.w))
        for j, Q in enumerate(net.gramians(nodes, len(total))):
            states = net.states[nodes == j]
            P = np.cov(states.T, bias=True) + 1e-4 * eye
            L = np.linalg.cholesky(P)
            T = L @ np.linalg.eigh(L.T @ (Q + 1e-6 * eye) @ L)[1]
            T /= np.linalg.norm(T, axis=0)
            F = np.linalg.inv(T)
            y = states @ F.T
            low, high = y.min(0), y.max(0)
            room = margin * (high - low) / 2 + 2e-3 * np.linalg.norm(F, axis=1)
            for a, b in zip((self.T, self.F, self.low, self.high), (T, F, low - room, high + room)):
                a.append(b)
        self.T, self.F, self.low, self.high = map(np.array, (self.T, self.F, self.low, self.high))

    def sweep(self, width, halvings, budget, deadline):
        """Push all until inside; grow. Pushes, leaves outside, least logit, worst excess."""
        net = self.net
        pushes, outside, least, worst = 0, 0, inf, 0
        new_low, new_high = self.low.copy(), self.high.copy()
        nodes = np.arange(len(self.T))
        c = (self.T @ ((self.low + self.high) / 2)[:, :, None])[:, :, 0]
        G = self.T * ((self.high - self.low) / 2)[:, None]
        root = np.append(nodes, 0), np.vstack((c, 0 * c[:1])), np.concatenate((G, 0 * G[:1])), np.full(len(nodes) + 1, halvings)
        stack = [(0, *root)]
        while stack:
            depth, node, c, G, left = stack.pop()
            if len(node) > BATCH:
                stack += [(depth, *(a[i::2] for a in (node, c, G, left))) for i in (0, 1)]
                continue
            if time.perf_counter() > deadline:
                raise TimeUp
            edges = len(self.drives)
            middle = ((c @ net.W.T)[:, None] + self.drives[:, 0]).reshape(-1, len(net.w))
            half = np.tile(self.drives[:, 1, :, None], (len(node), 1, 1))
            A = np.concatenate((np.repeat(net.W @ G, edges, 0), half), 2)
            todo = self.after[node].ravel(), middle, A, np.repeat(left, edges)
            done = []
            while len(todo[0]):
                node, mid, A, left = todo
                pushes += len(node)
                absolute = abs(A)
                reach = absolute.sum(2)
                low, high = mid - reach, mid + reach
                maybe = (low < 0) & (high > 0)
                share = np.where(low >= 0, 1, np.where(maybe, high / np.where(maybe, high - low, 1), 0))
                μ = np.where(maybe, -share * low / 2, 0)
                wide = (μ.sum(1) > width) & (left > 0)
                fine = ~wide
                s = share[fine][:, :, None]
                extra = (μ + SLACK * (high > 0))[fine][:, :, None] * np.eye(len(net.w))
                done.append((node[fine], share[fine] * mid[fine] + μ[fine], np.concatenate((s * A[fine], extra), 2), left[fine]))
                stirs = (μ / np.maximum(reach, 1e-12))[wide][:, None] @ absolute[wide]
                k, rows = stirs[:, 0].argmax(1), np.arange(wide.sum())
                A = A[wide]
                half = A[rows, :, k] / 2
                A[rows, :, k] = half
                todo = np.tile(node[wide], 2), np.vstack((mid[wide] + half, mid[wide] - half)), np.tile(A, (2, 1, 1)), np.tile(left[wide] - 1, 2)
            node, c, G, left = (np.concatenate(part) for part in zip(*done))
            if pushes > budget:
                return pushes, -1, least, worst
            sign = 2 * (self.totals[node] % 2) - 1
            logits = sign * (c @ net.w + net.c) - abs(net.w @ G).sum(1)
            least = min(least, logits.min())
            y = (self.F[node] @ c[:, :, None])[:, :, 0]
            r = abs(self.F[node] @ G).sum(2)
            under, over = self.low[node] - (y - r), y + r - self.high[node]
            out = (under > 0).any(1) | (over > 0).any(1)
            if depth + 1 < DEPTH:
                if out.any():
                    stack.append((depth + 1, node[out], c[out], G[out], left[out]))
            elif out.any():
                outside += out.sum()
                worst = max(worst, under[out].max(), over[out].max())
                gain = GAIN * (self.high - self.low)[node[out]]
                np.minimum.at(new_low, node[out], (y - r)[out] - gain * (under[out] > 0))
                np.maximum.at(new_high, node[out], (y + r)[out] + gain * (over[out] > 0))
        self.low, self.high = new_low, new_high
        return pushes, outside, least, worst

    def certificate(self, width, halvings):
        """The parallelotopes in integers. The bounds H are twice what was sampled."""
        half = (self.high - self.low)[:, :, None] / 2
        middle = (self.high + self.low)[:, :, None] / 2
        return Certificate(
            self.totals.tolist(),
            self.after.tolist(),
            (self.net.exponents + 1).tolist(),
            whole((self.T @ middle)[:, :, 0] * FULL / 2),
            whole(half * self.T.transpose(0, 2, 1) * FULL / 2),
            whole(self.F / half * 2 * 2**M),
            DEPTH, halvings, int(width * FULL / 2),
        )


def whole(values):
    return np.rint(values).astype(int).tolist()


def find(net, automaton, memory, margin, width, halvings, budget, deadline=inf, log=None):
    """A certificate that closes in floats, or None."""
    boxes = Boxes(net, *automaton(memory), margin)
    for _ in range(ROUNDS):
        pushes, outside, least, worst = boxes.sweep(width, halvings, budget, deadline)
        if log:
            log(f"pushes {pushes} outside {outside} least {least:.3g} worst {worst:.3g}")
        if not outside and least > 0:
            return boxes.certificate(width, halvings)
        if outside <= 0 or worst > 3 or least < -30:
            return None
    return None
