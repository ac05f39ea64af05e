"""Part 1's theorem for recurrent matrices of any rank, and a checker of certificates.

Where part1.py follows one number s, this follows the whole state h, as a set of points.
The finder, find_any_rank.py, proposes sets. The checker is integers and the standard
library alone, and trusts nothing that it is given. AnyRank.v has the theorem in Coq.

    x, k, n   pair of digits, carry before it, and column total n = x₁ + x₂ + k
    h, w, c   hidden state, and the logit w·h + c
    ρ         bounds of float32 errors: ρ_i of unit i before its relu, ρ_w of the logit
    H         bounds of the states, powers of two: 0 <= h_i <= H_i = 2^e_i
    j         node of an automaton that follows the sum: it has the total n_j of the
              column just read, and an edge for each pair to read next, or one edge for
              (0, 1) and (1, 0), which the network may hardly tell apart
    S_j       parallelotope {m + T y : |y_i| <= 1} of states at node j
    m + G     zonotope {m + Σ_k t_k g_k : |t_k| <= 1}, of vectors g_k, its generators

THEOREM. Suppose that
    1. node 0, where the sum starts, has carry n_0 div 2 = 0, and from every node i, the
       edge for x leads to a node of total x₁ + x₂ + (n_i div 2);
    2. the terms of every float32 sum, as absolute values, add up to less than 2¹²⁷ for
       0 <= h <= H, so nothing overflows (see `part1.rounding`, also for ρ);
    3. there are finite trees of zonotopes at nodes: one from {0} at node 0, and one
       from each S_j at j. For each zonotope of a tree and each pair x, some zonotopes
       at the node where x leads hold what float32 can make of the states in it that
       have 0 <= h <= H. Each is inside the S of this node, or in the tree;
    4. these next states have h <= H, and in them w·h + c ± ρ_w has the sign of the
       node's digit n_j mod 2: above 0 for a 1.
Then every digit of the sum of any two integers, of any length, is right.

PROOF, by induction over the steps. Before each, 0 <= h <= H is in a zonotope of a tree,
at a node with the carry of the sum: at first, in {0}. By 3, the next h is in one at the
node where x leads, or in the S of this node, which is the root of a tree. By 1 it has
the sum's total and carry, by 4 the logit has the sign of the sum's digit, and h <= H. ∎

ASSUMPTIONS. Those of part1.py.

The checker grows the trees. What makes them zonotopes:

    relu    If p is from l < 0 to u > 0, and 0 <= λ <= 1, then relu(p) - λ p is convex,
            so from 0 to 2μ, the larger of its values -λ l and (1 - λ) u at the ends.
            Then relu(p) is in λ p + μ ± μ: each unit gets a generator of its own.
    halves  To halve a generator g is to cover with m ± g/2 + {.., g/2, ..}.
    inside  Let rows of |I - F T| add up to η < 1 at most. Then T is invertible, and
            z = T y has y = F z + (I - F T) y, so max|y_i| <= max|(F z)_i| / (1 - η).

All numbers are integers, and states count H_i / 2ᴺ: then to multiply a unit by a power
of two changes nothing. What rounding cuts off goes into a unit's slack.
"""

import time
from collections import namedtuple
from fractions import Fraction
from math import ceil, inf

from proof.part1 import HUGE, PAIRS, WEIGHTS, Network, dot, rounding

WORDS = {  # by the number of edges of a node, the pairs that each edge is for
    3: (((0, 0),), ((0, 1), (1, 0)), ((1, 1),)),
    4: tuple((x,) for x in PAIRS),
}
N, R, L, M = 26, 26, 10, 20  # bits after the point: states / H, weights, λ and F
FULL = 1 << N  # H, in what states count

Certificate = namedtuple(
    "Certificate", "totals next exponents centres columns inverses depth halvings width"
)
Certificate.__doc__ = """What the checker is asked to believe, in integers.

totals     n_j of each node; node 0 is the start
next       of each node, the nodes where its edges lead: for WORDS of as many
exponents  e of each unit
centres    m of each node's S; states count H / 2^N
columns    of T, of each node's S
inverses   F of each node, by rows, which count 2^-M; any F near T's inverse will do
depth      steps of a tree, at most
halvings   on the way from a root to a leaf, at most
width      Σμ above which a zonotope is halved
"""
Verdict = namedtuple("Verdict", "proven reason pushes logit")
Verdict.__doc__ = """Whether a certificate proves that a network adds, or why not.

pushes  number of zonotopes in the trees
logit   the least, on its side of zero and after rounding errors
"""


class Failed(Exception):
    """The reason why a certificate proves nothing."""


def check(weights, certificate, deadline=inf, report=None):
    """Verdict on a certificate for weights, which are as `part1.check` takes them.

    `report`, if any, hears what share is done. Time is up when `time.perf_counter` is
    beyond the deadline. Raises ValueError if a weight is not a finite float32 number,
    or if the certificate has not the form of one.
    """
    if not isinstance(certificate, (list, tuple)) or len(certificate) != 9:
        raise ValueError("a certificate has nine parts")
    certificate = Certificate(*certificate)
    validate(certificate, len(weights[WEIGHTS[1]]))
    checker = Checker(weights, certificate, deadline)
    try:
        checker.check(report)
    except Failed as failed:
        return Verdict(False, str(failed), checker.pushes, None)
    return Verdict(True, None, checker.pushes, float(checker.least * checker.unit))


def validate(certificate, hidden):
    """Raise ValueError unless a certificate has its form, and condition 1 holds."""
    totals, after, exponents, *_, depth, halvings, _ = certificate
    nodes = len(totals) if type(totals) in (list, tuple) else 0
    words = WORDS[3 if fits(after, (nodes, 3)) else 4]
    centres, matrices = (nodes, hidden), (nodes, hidden, hidden)
    shapes = (nodes,), (nodes, len(words)), (hidden,), centres, matrices, matrices
    if not (nodes and all(map(fits, certificate, (*shapes, (), (), ())))):
        raise ValueError("a certificate has a wrong shape, or what is no small integer")
    if max(map(abs, exponents)) > 300 or not (0 <= depth <= 64 and 0 <= halvings <= 64):
        raise ValueError("a certificate has an exponent or limit out of range")
    edges = [(n, w[0], j) for n, row in zip(totals, after) for w, j in zip(words, row)]
    if totals[0] // 2 or not all(
        0 <= j < nodes and totals[j] == sum(x) + n // 2 for n, x, j in edges
    ):
        raise ValueError("a certificate's automaton does not follow the sum")


def fits(values, shape):
    """Whether these are integers of less than 64 bits, in lists of this shape."""
    if not shape:
        return type(values) is int and abs(values) < 2**63
    listed = type(values) in (list, tuple) and len(values) == shape[0]
    return listed and all(fits(value, shape[1:]) for value in values)


class Checker:
    """A network and a certificate in integers; a zonotope is m and G, lists of them."""

    def __init__(self, weights, certificate, deadline):
        self.certificate, self.deadline = certificate, deadline
        self.pushes, self.least = 0, None
        net, H = Network(weights), [Fraction(2) ** e for e in certificate.exponents]
        ρ, sizes = rounding(net.unit_terms, [1, 1, 1, 1, *H])
        (ρ_w,), logit_size = rounding(net.logit_terms, [1, *H])
        self.overflows = max(sizes + logit_size) >= HUGE
        rows = zip(H, weights[WEIGHTS[1]])
        self.W = [
            [round(Fraction(W) * b / a * 2**R) for W, b in zip(row, H)]
            for a, row in rows
        ]
        d = {x: [d / a * 2**N for d, a in zip(net.drives[x], H)] for x in PAIRS}
        self.drives = []  # of each word: the middle, and half the distance of its pairs
        for first, *_, last in (word * 2 for word in WORDS[len(certificate.next[0])]):
            ends = list(zip(d[first], d[last]))
            middle = [round((a + b) / 2 * 2**R) for a, b in ends]
            self.drives.append((middle, [round((a - b) / 2) for a, b in ends]))
        off = Fraction(len(H) * FULL, 2 ** (R + 1)) + 1  # by rounding W and drives
        self.slack = [ceil(error / a * FULL + off) for error, a in zip(ρ, H)]
        w = [w * a for w, a in zip(net.w, H)]
        size = max(map(abs, (*w, net.c))) or 1
        self.unit = Fraction(size, 2 ** (N + R))  # of logits
        self.w, self.c = [round(w / size * 2**R) for w in w], round(net.c / self.unit)
        self.w_slack = ceil(ρ_w / self.unit) + len(H) * FULL + 1
        self.rooms = [*map(one_minus_η, certificate.columns, certificate.inverses)]

    def check(self, report):
        """Raise Failed unless conditions 2 to 4 hold."""
        if self.overflows:
            raise Failed("a sum in float32 may overflow")
        if min(self.rooms) <= 0:
            raise Failed("F is too far from the inverse of T")
        self.grow(0, [0] * len(self.w), [])
        sets = zip(self.certificate.centres, self.certificate.columns)
        for node, (m, T) in enumerate(sets):
            self.grow(node, m, T)
            if report:
                report((node + 1) / len(self.rooms))

    def grow(self, node, m, G):
        """Grow the tree of m + G at a node until every leaf is inside an S."""
        stack = [(node, m, G, self.certificate.depth, self.certificate.halvings)]
        while stack:
            node, m, G, depth, halvings = stack.pop()
            if not depth:
                raise Failed("a state may leave its set")
            for target, m, G, left in self.push(node, m, G, halvings):
                self.judge(target, m, G)
                if not self.inside(target, m, G):
                    stack.append((target, m, G, depth - 1, left))

    def push(self, node, m, G, halvings):
        """Zonotopes that hold the states after those of m + G, and where they are."""
        before = [dot(row, m) for row in self.W]
        gens = [[dot(row, g) >> R for row in self.W] for g in G]
        for (d, half), target in zip(self.drives, self.certificate.next[node]):
            middle = [a + b >> R for a, b in zip(before, d)]
            drawn = [*gens, half] if any(half) else gens
            for m, G, left in self.pieces(middle, drawn, halvings):
                yield target, m, G, left

    def pieces(self, m, G, halvings):
        """Zonotopes that hold relu(p) for all p within the slack of m + G."""
        cut = len(G) + 1  # each of these is rounded down by less than 1
        stack = [(m, G, [s + cut for s in self.slack], halvings)]
        while stack:
            m, G, slack, left = stack.pop()
            *image, μ = self.relu(m, G, slack)
            if not (left and G and sum(μ) > self.certificate.width):
                yield *image, left
                continue
            reach = [sum(map(abs, row)) or 1 for row in zip(*G)]
            stirs = [sum(a * abs(e) // r for a, e, r in zip(μ, g, reach)) for g in G]
            k = stirs.index(max(stirs))  # where halving helps most, but any would do
            half = [e // 2 for e in G[k]]  # off by less than 1: see slack
            G, slack = [*G[:k], half, *G[k + 1 :]], [s + 1 for s in slack]
            for sign in (1, -1):
                middle = [a + sign * b for a, b in zip(m, half)]
                stack.append((middle, G, slack, left - 1))

    def relu(self, m, G, slack):
        """m and G that hold relu(p) for all p within the slack of m + G, and each μ."""
        self.pushes += 1
        if time.perf_counter() > self.deadline:
            raise Failed("time is up")
        λ, middle, μ, own = [], [], [], []
        for a, s, *row in zip(m, slack, *G):
            r = sum(map(abs, row)) + s
            low, high = a - r, a + r
            if low >= 0 or high <= 0:
                share, half, cut = (low >= 0) << L, 0, 0
            else:
                share = (high << L) // (high - low)
                half = -(-max(-share * low, ((1 << L) - share) * high) // 2)
                cut = len(G) + 1  # as in pieces
            λ.append(share)
            middle.append(share * a + half >> L)
            μ.append(half >> L)
            own.append(-(-(half + share * s) >> L) + cut)
        G = [[a * b >> L for a, b in zip(λ, g)] for g in G]
        G += [[e * (i == k) for k in range(len(own))] for i, e in enumerate(own)]
        return middle, [g for g in G if any(g)], μ

    def judge(self, node, m, G):
        """Raise Failed unless condition 4 holds for m + G."""
        logit = dot(self.w, m) + self.c
        room = sum(abs(dot(self.w, g)) for g in G) + self.w_slack
        least = (logit if self.certificate.totals[node] % 2 else -logit) - room
        if least <= 0:
            raise Failed("a logit may have the wrong sign")
        if any(a + sum(map(abs, row)) > FULL for a, *row in zip(m, *G)):
            raise Failed("a state may exceed its bound")
        self.least = least if self.least is None else min(least, self.least)

    def inside(self, node, m, G):
        """Whether m + G is inside the S of a node."""
        offset = [a - b for a, b in zip(m, self.certificate.centres[node])]
        F, room = self.certificate.inverses[node], self.rooms[node]
        return all(sum(abs(dot(f, g)) for g in (offset, *G)) <= room for f in F)


def one_minus_η(T, F):
    """What η of T, by columns, and F leave of 1, in what F z counts."""
    one = 1 << N + M
    return one - max(
        sum(abs((i == k) * one - dot(row, t)) for k, t in enumerate(T))
        for i, row in enumerate(F)
    )
