"""Tests of what goes beyond the assignment: proof/, certify.py and experiments/.

What needs a program or a package that is not installed is skipped by name.
"""

import io
import json
import math
import os
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
import unittest
import zipfile
from collections import Counter
from contextlib import redirect_stderr
from fractions import Fraction
from functools import partial
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from unittest.mock import patch

import numpy
import torch

import certify
import deploy
import models
from proof import any_rank, coq, find_any_rank, part1, part2, search
from proof.part1 import PAIRS, check, lists, prove
from test_binadd import SEVEN, SHIPPED, TemporaryFolder, batch, needs_shipped, script
from train_part1 import part1 as settings, run

HERE = Path(__file__).absolute().parent
sys.path.insert(0, str(HERE / "experiments"))  # first: PyTables has a `tables`, too

import attack
import common
import lstm_bptt
import parallel
import tables
from common import train_network
from hunt import hunt

try:
    import nbclient
    import nbformat
except ImportError:
    nbclient = None
try:
    import pypandoc
    pypandoc.get_pandoc_version()
except (ImportError, OSError):  # missing, or without Pandoc
    pypandoc = None
needs_pandoc = unittest.skipUnless(
    pypandoc and find_spec("typst"), "needs pypandoc_binary and typst")
FIRST = "def go_to_files"  # in the notebook's first cell of code
W_IH, W_HH, B_IH, B_HH, W_OUT, B_OUT = models.WEIGHTS  # names of the six weights


def of_any_rank():
    """Weights of a network that adds, and whose recurrent matrix is of rank ten."""
    weights, generator = shipped(1), torch.Generator().manual_seed(1)
    noise = 0.01 * torch.randn(10, 10, generator=generator)
    return {**weights, W_HH: weights[W_HH] + noise}


def shipped(part):
    """Weights of a shipped network, as tensors."""
    return models.load(SHIPPED[part], part)[1]["state_dict"]


def network(weights):
    """Part 1's network with these weights, on the CPU."""
    model = models.SynchronousAdder(len(weights[B_IH]), 0.0, constrained=False)
    model.load_state_dict(weights)
    return model.eval()


def scaled(weights, exponents):
    """The same network, with each unit times its own power of two."""
    factors = torch.tensor([2.0**k for k in exponents])
    W_ih, W_hh, b_ih, b_hh, w, c = (weights[name] for name in models.WEIGHTS)
    rows = factors[:, None]
    values = W_ih * rows, W_hh * rows / factors, b_ih * factors, b_hh * factors
    return dict(zip(models.WEIGHTS, (*values, w / factors, c)))


def with_overflow(weights):
    """Part 1's weights and one more unit, infinite, whose outputs have no weight."""
    W_ih, W_hh, b_ih, b_hh, w, c = (weights[name] for name in models.WEIGHTS)
    W_hh = torch.nn.functional.pad(W_hh, (0, 1, 0, 1))
    W_ih, w = torch.cat([W_ih, torch.zeros(1, 2)]), torch.cat([w, torch.zeros(1, 1)], 1)
    biases = [torch.cat([b, torch.tensor([2.0**127])]) for b in (b_ih, b_hh)]
    return dict(zip(models.WEIGHTS, (W_ih, W_hh, *biases, w, c)))


def three_units(exponent):
    """Adder made by hand, with its first unit times 2⁻ᵏ and the others times 2ᵏ.

    With n = x₁ + x₂ + k, states are n, 4 n - 5 and 4 n - 7, or 0 if these are below.
    """
    W_hh = torch.tensor([[0, 0.5, -0.5], [0, 2, -2], [0, 2, -2]])
    W_ih, biases = torch.tensor([[1.0, 1], [4, 4], [4, 4]]), torch.tensor([0.0, -5, -7])
    values = W_ih, W_hh, biases, torch.zeros(3), torch.tensor([[1.0, -1, 1]])
    weights = dict(zip(models.WEIGHTS, (*values, torch.tensor([-0.5]))))
    return scaled(weights, [-exponent, exponent, exponent])


def wrong_digits(weights, length=300):
    """Number of digits that the network gets wrong on adversarial streams."""
    pairs = search.adversarial_pairs(length)
    with torch.no_grad():
        digits = network(weights)(pairs.float()) > 0
    return int((digits != search.exact_digits(pairs).bool()).sum())


@needs_shipped
class Part1(unittest.TestCase):
    """The checker accepts what is right, and nothing else."""

    def setUp(self):
        self.weights = shipped(1)
        torch.manual_seed(0)

    def test_the_shipped_network_is_proven(self):
        verdict = prove(lists(self.weights))
        self.assertEqual((verdict.proven, verdict.reason), (True, None))
        eight = [(case.carry, case.pair) for case in verdict.cases]
        self.assertEqual(eight, list(product((0, 1), PAIRS)))
        for case in verdict.cases:
            total = sum(case.pair) + case.carry
            self.assertEqual((case.target, case.digit), divmod(total, 2))
            low, high = verdict.intervals[case.target]
            self.assertTrue(low <= case.image[0] <= case.image[1] <= high)
        self.assertEqual(check(lists(self.weights), verdict.intervals), verdict)

    def test_a_network_that_may_err_is_not_proven_but_told_why(self):
        w, noise, pivot = self.weights, torch.randn(10, 10), torch.zeros(10, 10)
        place = w[W_HH].diagonal().abs().argmax()
        pivot[place, place] = 0.01
        shifted = {**w, B_OUT: w[B_OUT] + 16}
        for mutant, reason in (
            ({**w, W_HH: w[W_HH] + 1e-4 * noise}, None),  # nearly rank one is enough
            ({**w, W_HH: w[W_HH] + 1e-1 * noise}, "too far from rank one"),
            ({**w, W_HH: w[W_HH] + pivot}, "checks fail"),
            ({**w, W_HH: w[W_HH].T}, "grows without bound"),
            ({**w, W_IH: w[W_IH] * torch.tensor([1, 0])}, "checks fail"),
            ({**w, B_OUT: w[B_OUT] - 8}, "checks fail"),
            (shifted, "checks fail"),
            (scaled(shifted, [20] * 10), "checks fail"),
        ):
            verdict = prove(lists(mutant))
            self.assertEqual(verdict.proven, reason is None)
            self.assertIn(str(reason), str(verdict.reason))

    def test_intervals_that_do_not_do_are_refused(self):
        weights = lists(self.weights)
        zero, one = prove(weights).intervals
        both = min(zero[0], one[0]), max(zero[1], one[1])
        for intervals in (
            (zero, (one[0] + 1, one[1] + 1)),
            ((zero[0] / 99, zero[1]), one),
            (zero, (one[0], one[0])),
            (both, both),  # one for both says nothing
        ):
            self.assertFalse(check(weights, intervals).proven)
        for intervals in ((one, zero), ((-2, -1), one), (zero, one[::-1])):
            with self.assertRaises(ValueError):
                check(weights, intervals)

    def test_the_verdict_does_not_depend_on_powers_of_two(self):
        verdict = prove(lists(self.weights))
        mixed = torch.randint(-30, 31, (10, 10)).tolist()
        for exponents in ([-30] * 10, [30] * 10, *mixed):
            other = prove(lists(scaled(self.weights, exponents)))
            self.assertTrue(other.proven)
            for one, two in zip(verdict.cases, other.cases):
                for a, b in zip(one.logits, two.logits):
                    self.assertAlmostEqual(float(a), float(b), delta=1e-9)

    def test_a_sum_that_may_overflow_is_not_proven(self):
        """Scaled by 2¹²⁰ and more, the network's own sums end in infinity."""
        for units, logit in ((1, 0), (0, 1)):  # what is scaled
            reasons = set()
            for k in range(100, 128):
                weights = scaled(self.weights, [units * k] * 10)
                for name in (W_OUT, B_OUT):
                    weights[name] = weights[name] * 2.0 ** (logit * k)
                if all(weight.isfinite().all() for weight in weights.values()):
                    verdict = prove(lists(weights))
                    reasons.add(verdict.reason)
                    self.assertFalse(verdict.proven and wrong_digits(weights))
            others = {"what the network remembers grows without bound"}  # beyond 2¹²⁷
            self.assertEqual(reasons - others, {None, "a sum in float32 may overflow"})

    def test_random_weights_of_any_size_get_a_verdict(self):
        """Finite ones around 1e30 to 3e38 once ended in an OverflowError."""
        def draw(*shape):
            signs = 1 - 2 * torch.randint(2, shape)
            sizes = 10 ** torch.empty(shape).uniform_(low, high)
            return (signs * sizes).clamp(-3.4e38, 3.4e38)

        powers = (-45, 38.5), (25, 38.5), (-45, -30)  # of ten
        kinds = list(product(range(1, 13), powers, (False, True)))
        for hidden, (low, high), rank_one in 4 * kinds:
            W_hh = draw(hidden, hidden)
            if rank_one:
                W_hh = (draw(hidden, 1) * draw(1, hidden)).clamp(-3.4e38, 3.4e38)
            values = draw(hidden, 2), W_hh, draw(hidden), draw(hidden)
            weights = zip(models.WEIGHTS, (*values, draw(1, hidden), draw(1)))
            self.assertFalse(prove(lists(dict(weights))).proven)

    def test_what_is_not_float32_is_refused(self):
        for value in (math.nan, math.inf, 0.1, 1e39):
            with self.assertRaisesRegex(ValueError, "finite float32"):
                prove({**lists(self.weights), B_OUT: [value]})

    def test_640_units_are_proven(self):
        """Every unit in 64 copies, which share its outputs, is the same network."""
        W_ih, W_hh, b_ih, b_hh, w, c = (self.weights[name] for name in models.WEIGHTS)
        W_ih, b_ih, b_hh = W_ih.repeat(64, 1), b_ih.repeat(64), b_hh.repeat(64)
        W_hh, w = W_hh.repeat(64, 64) / 64, w.repeat(1, 64) / 64
        for factor in (1, 1.03):  # the intervals creep to their ends
            values = W_ih, factor * W_hh, b_ih, b_hh, w, c
            self.assertTrue(prove(lists(dict(zip(models.WEIGHTS, values)))).proven)

    def test_what_is_proven_runs_right(self):
        """Networks on the edge: some that are perturbed are proven, some are wrong."""
        found = Counter()
        for size in torch.logspace(-3, 0, 60):
            weights = {name: weight * (1 + size * torch.randn(weight.shape))
                       for name, weight in self.weights.items()}
            rows = 1 + size * torch.randn(10, 1)
            weights[W_HH] = self.weights[W_HH] * rows  # still of rank one
            found[prove(lists(weights)).proven, wrong_digits(weights) > 0] += 1
        self.assertEqual(found[True, True], 0)
        self.assertGreater(min(found[True, False], found[False, True]), 5)

    def test_extremes_are_those_at_the_ends_and_the_kinks(self):
        for _ in range(200):
            rows = torch.randint(-9, 10, (3, 6)).tolist()
            a, d, u = ([Fraction(n, 4) for n in row] for row in rows)
            kinks = [-d_i / u_i for d_i, u_i in zip(d, u) if u_i]
            values = [sum(a_i * max(d_i + u_i * s, 0) for a_i, d_i, u_i in zip(a, d, u))
                      for s in (-3, 2, *kinks) if -3 <= s <= 2]
            self.assertEqual(part1.extremes(a, d, u, -3, 2), (min(values), max(values)))

    def test_rounding_bounds_sums_in_any_order(self):
        """And is not far from what can happen: a bound of zero or infinity is none."""
        largest = 0
        for n in 700 * (2, 5, 14):
            a, b = torch.randn(n), torch.rand(n)
            p, q = ([Fraction(x) for x in vector.tolist()] for vector in (a, b))
            (bound,), _ = part1.rounding([[abs(int(x * 2**149)) for x in p]], q)
            for computed in (sum(a * b), a @ b):
                error = abs(Fraction(computed.item()) - part1.dot(p, q))
                self.assertLessEqual(error, bound)
                largest = max(largest, error / bound)
        self.assertGreater(largest, 0.1)

    def test_room_is_left_for_rounding_and_for_flushing(self):
        unit = [[0.0, 0.0]], [[0.5]], [1.0], [0.0], [[0.0]]  # h <- relu(1 + h / 2)
        for logit in (1.0, 0.0):
            weights = dict(zip(models.WEIGHTS, (*unit, [logit])))
            for case in check(weights, ((0, 2), (0, 2))).cases:
                self.assertLess(case.image[0], 0.5)  # what is exact is not below it
                self.assertLess(case.logits[0], logit)


@needs_shipped
class AnyRank(unittest.TestCase):
    """Sets of states: the checker accepts what is right, and nothing else."""

    @classmethod
    def setUpClass(cls):
        noise = torch.randn(10, 10, generator=torch.Generator().manual_seed(0))
        cls.weights = {**shipped(1), W_HH: shipped(1)[W_HH] + 0.01 * noise}
        cls.verdict, cls.certificate = find_any_rank.prove(lists(cls.weights))

    def check(self, weights=None, **changes):
        certificate = self.certificate._replace(**changes)
        return any_rank.check(lists(weights or self.weights), certificate)

    def test_a_network_that_is_not_of_rank_one_is_proven(self):
        self.assertFalse(prove(lists(self.weights)).proven)
        self.assertEqual((self.verdict.proven, self.verdict.reason), (True, None))
        self.assertEqual(wrong_digits(self.weights), 0)
        copy = json.loads(json.dumps(self.certificate))
        self.assertEqual(any_rank.check(lists(self.weights), copy), self.verdict)

    def test_the_least_logit_is_below_those_that_are_met(self):
        pairs = search.adversarial_pairs(100)
        with torch.no_grad():
            logits = network(self.weights)(pairs.float())
        signs = 2 * search.exact_digits(pairs) - 1
        met = (signs * logits).min().item()
        self.assertTrue(met / 4 < self.verdict.logit < met)

    def test_networks_that_may_err_are_not_proven(self):
        w, swapped = self.weights, self.weights[W_IH].clone()
        swapped[:, 1] = 0
        for mutant in (
            {**w, B_OUT: w[B_OUT] + 16}, {**w, B_OUT: w[B_OUT] - 16},
            {**w, W_OUT: -w[W_OUT], B_OUT: -w[B_OUT]}, {**w, W_HH: w[W_HH].T},
            {**w, W_HH: 1.5 * w[W_HH]}, {**w, W_IH: swapped},
            {name: 0 * weight for name, weight in w.items()},
        ):
            verdict = self.check(mutant)
            self.assertFalse(verdict.proven)
            self.assertRegex(verdict.reason, "^a (logit|state) may ")

    def test_a_network_that_forgets_a_carry_after_long_is_not_proven(self):
        def weaker(share):
            return {**self.weights, W_HH: share * self.weights[W_HH]}

        wrong, right = 0.3, 1.0  # of the memory's strength
        for _ in range(16):
            middle = (wrong + right) / 2
            if wrong_digits(weaker(middle)):
                wrong = middle
            else:
                right = middle
        late = weaker(wrong)
        self.assertEqual(wrong_digits(late, 100), 0)
        self.assertGreater(wrong_digits(late), 0)
        for depth in (self.certificate.depth, 30):
            verdict = self.check(late, depth=depth)
            self.assertEqual(verdict.reason, "a state may leave its set")

    def test_certificates_that_do_not_do_are_refused(self):
        c = self.certificate
        shrunk = [[[e // 2 for e in t] for t in T] for T in c.columns]
        wide = [[[2 * e for e in row] for row in F] for F in c.inverses]  # of halves
        doubled = [[[2 * e for e in t] for t in T] for T in c.columns]
        for changes, reason in (
            ({"centres": c.centres[::-1]}, "may"),
            ({"columns": shrunk, "inverses": wide}, "a state may leave its set"),
            ({"inverses": wide}, "F is too far"),
            ({"columns": shrunk}, "a state may leave its set"),
            ({"columns": doubled}, "F is too far"),
            ({"inverses": [[[0] * 10] * 10] * len(c.totals)}, "F is too far"),
            ({"depth": 0}, "a state may leave its set"),
            ({"exponents": [e - 3 for e in c.exponents]}, "may"),
            ({"exponents": [e + 20 for e in c.exponents]}, "may"),  # rounds too much
            ({"exponents": [300] * 10}, "a sum in float32 may overflow"),
            ({"exponents": [-300] * 10}, "may"),
        ):
            verdict = self.check(**changes)
            self.assertFalse(verdict.proven)
            self.assertIn(reason, verdict.reason)

    def test_what_only_guides_the_checker_may_change(self):
        """Any halving of a zonotope is sound, so these can but cost a proof."""
        for changes in ({"depth": 9}, {"halvings": 9}, {"width": 9**9}, {"width": -1}):
            verdict = self.check(**changes)
            self.assertTrue(verdict.proven or "may" in verdict.reason)
            self.assertTrue(not verdict.proven or verdict.logit > 0)

    def test_what_is_no_certificate_is_refused(self):
        c = self.certificate
        late = [2 if n == 0 else n for n in c.totals]
        lost = [[*row[:2], -1] for row in c.next]
        beyond = [[*row[:2], len(c.totals)] for row in c.next]
        changes = [
            {"totals": late}, {"totals": []}, {"totals": None},
            {"totals": c.totals[1:]},
            {"totals": [n + 4 for n in c.totals]}, {"totals": [0.0, *c.totals[1:]]},
            {"next": lost}, {"next": beyond}, {"next": [row[::-1] for row in c.next]},
            {"next": [row[:2] for row in c.next]}, {"next": [[]] * len(c.totals)},
            {"next": [[*row, row[2]] for row in c.next]}, {"next": c.next[1:]},
            {"centres": c.centres[1:]}, {"columns": c.columns[1:]},
            {"inverses": [F[1:] for F in c.inverses]}, {"exponents": c.exponents[1:]},
            {"exponents": [2**20] * 10}, {"exponents": None}, {"depth": -1},
            {"depth": 2**40}, {"halvings": -1}, {"halvings": None}, {"width": [0]},
        ]
        for odd in (math.nan, math.inf, 0.5, True, "1", None, 2**70, Fraction(1)):
            changes += [{"width": odd}, {"depth": odd}, {"exponents": [odd] * 10}]
            changes.append({"centres": [[odd, *m[1:]] for m in c.centres]})
        for change in changes:
            with self.assertRaisesRegex(ValueError, "certificate"):
                self.check(**change)
        for other in ((), c[:8], [*c, 1], None, "nine words", 9):
            with self.assertRaisesRegex(ValueError, "certificate"):
                any_rank.check(lists(self.weights), other)

    def test_the_verdict_does_not_depend_on_powers_of_two(self):
        exponents = torch.randint(-30, 31, (10,)).tolist()
        moved = [a + b for a, b in zip(self.certificate.exponents, exponents)]
        verdict = self.check(scaled(self.weights, exponents), exponents=moved)
        self.assertTrue(verdict.proven)
        self.assertAlmostEqual(verdict.logit, self.verdict.logit, delta=1e-3)

    def test_sums_that_may_overflow_or_vanish_are_not_proven(self):
        for shift, reason in ((124, "a sum in float32 may overflow"), (-126, " may ")):
            moved = [e + shift for e in self.certificate.exponents]
            weights = scaled(self.weights, [shift] * 10)
            if all(weight.isfinite().all() for weight in weights.values()):
                verdict = self.check(weights, exponents=moved)
                self.assertFalse(verdict.proven)
                self.assertIn(reason, verdict.reason)

    def test_it_gives_up_when_time_is_up(self):
        verdict = any_rank.check(lists(self.weights), self.certificate, deadline=0)
        self.assertEqual((verdict.proven, verdict.reason), (False, "time is up"))
        verdict, certificate = find_any_rank.prove(lists(self.weights), deadline=0)
        self.assertEqual((verdict.reason, certificate), ("time is up", None))

    def test_random_weights_of_any_size_get_a_verdict(self):
        torch.manual_seed(0)
        for low, high in ((-45, 38), (25, 38), (-45, -30), (-1, 1)):
            sizes = {
                name: 10 ** (low + (high - low) * torch.rand(w.shape))
                for name, w in self.weights.items()
            }
            sizes[W_HH] *= 1 - 2 * torch.randint(2, (10, 10))
            self.assertFalse(self.check(sizes).proven)
            self.assertFalse(find_any_rank.prove(lists(sizes))[0].proven)


class Zonotopes(unittest.TestCase):
    """What any_rank.py says of sets of two units' states, by their points."""

    def setUp(self):
        torch.manual_seed(0)

    def checker(self, T=((2**20, 0), (0, 2**20)), F=((2**26, 0), (0, 2**26)), width=0):
        weights = dict(zip(models.WEIGHTS, (
            torch.randn(2, 2), torch.randn(2, 2), *torch.randn(2, 2),
            torch.randn(1, 2), torch.randn(1),
        )))
        certificate = any_rank.Certificate(
            [0, 1, 2, 3], [[n // 2 + x for x in range(3)] for n in range(4)], [2, 1],
            [[0, 0]] * 4, [list(map(list, T))] * 4, [list(map(list, F))] * 4,
            1, 6, width,
        )
        any_rank.validate(certificate, 2)
        return weights, any_rank.Checker(lists(weights), certificate, math.inf)

    def draw(self, generators, size):
        G = torch.randint(-size, size, (generators, 2)).tolist()
        return torch.randint(0, any_rank.FULL, (2,)).tolist(), G

    def test_inside_is_what_all_vertices_say(self):
        found = Counter()
        for _ in range(400):
            (a, b), (c, d) = T = torch.randint(-(2**25), 2**25, (2, 2)).tolist()
            det = a * d - b * c
            one = Fraction(2 ** (any_rank.N + any_rank.M), det)
            F = [[round(e * one) for e in row] for row in ((d, -c), (-b, a))]
            if max(abs(e) for row in F for e in row) > 2**40:
                continue
            _, checker = self.checker(T, F)
            G = torch.randint(-(2**24), 2**24, (3, 2)).tolist()
            m = torch.randint(-(2**22), 2**22, (2,)).tolist()
            largest = 0
            for signs in product((-1, 1), repeat=3):
                x, y = (m[i] + sum(s * g[i] for s, g in zip(signs, G)) for i in (0, 1))
                ends = Fraction(d * x - c * y, det), Fraction(a * y - b * x, det)
                largest = max(largest, *map(abs, ends))
            inside = checker.rooms[0] > 0 and checker.inside(0, m, G)
            found[inside] += 1
            self.assertTrue(not inside or largest <= 1)
            self.assertTrue(inside or largest > 0.99)
        self.assertGreater(min(found.values()), 20)

    def test_what_is_pushed_holds_all_next_states(self):
        """Of points of a zonotope, in exact fractions, off by the largest error."""
        N, halved = any_rank.N, 0
        for trial in range(40):
            weights, checker = self.checker(width=2 ** (20 + trial % 6))
            m, G = self.draw(3, 2**24)
            W = [[Fraction(x) for x in row] for row in weights[W_HH].tolist()]
            H = [Fraction(2) ** e for e in checker.certificate.exponents]
            net = part1.Network(lists(weights))
            ρ, _ = part1.rounding(net.unit_terms, [1] * 4 + H)
            pushed = list(checker.push(0, m, G, 6))
            for target, word in zip(checker.certificate.next[0], any_rank.WORDS[3]):
                pieces = [piece for node, *piece in pushed if node == target]
                halved += len(pieces) > 1
                for t in 2 * torch.rand(12, 5) - 1:
                    t = [*map(Fraction, (t.sign() if trial % 2 else t).tolist())]
                    h = [a * (m_i + part1.dot(t, column)) / 2**N
                         for a, m_i, column in zip(H, m, zip(*G))]
                    if not all(0 <= x <= a for x, a in zip(h, H)):
                        continue  # no such state
                    for x in word:
                        p = [d + part1.dot(row, h) + s * e
                             for d, row, s, e in zip(net.drives[x], W, t[3:], ρ)]
                        r = [max(0, p_i) / a * 2**N for p_i, a in zip(p, H)]
                        self.assertTrue(any(holds(m_, G_, r) for m_, G_, _ in pieces))
        self.assertGreater(halved, 10)


def holds(m, G, point):
    """Whether a zonotope in the plane, with sides along its generators, has a point."""
    x, y = (a - b for a, b in zip(point, m))
    return all(
        abs(g[0] * y - g[1] * x) <= sum(abs(g[0] * f[1] - g[1] * f[0]) for f in G)
        for g in G
    )


def random_network(hidden):
    """Part 2 weights whose states neither die nor explode, with equal input columns."""
    W_hh = torch.randn(hidden, hidden) / hidden**0.5
    column = torch.randn(hidden, 1)
    biases = 0.3 * torch.randn(2, hidden)
    values = column.repeat(1, 2), W_hh, *biases, torch.randn(1, hidden), torch.randn(1)
    return dict(zip(models.WEIGHTS, values))


def state_of(net, h, D):
    """State of part2.Network with these units, each off by D at most."""
    h = torch.tensor(h, dtype=torch.float64)[:, None]
    return [h, (h + D / net.unit).float()]


class Part2(unittest.TestCase):
    """All cases are run, and no evaluation is further off than the bounds say."""

    def setUp(self):
        torch.manual_seed(0)

    @needs_shipped
    def test_the_worst_cases_of_the_shipped_network_are_proven(self):
        result = part2.exhaust(shipped(2), every=2000)
        self.assertEqual((result.cases, result.unproven), (10 * 3**7, 0))
        self.assertGreater(result.margin, 0)
        self.assertTrue(0 < result.bound < 1)
        plain = part2.exhaust(shipped(2), every=2000, rigorous=False)
        self.assertAlmostEqual(plain.margin, result.margin, delta=result.bound + 1e-4)
        with patch("proof.part2.UP", 1e300):  # so that bounds are beyond all logits
            result = part2.exhaust(shipped(2), every=10_000)
        self.assertEqual(result.unproven, result.cases)

    def test_it_runs_the_network_that_is_deployed(self):
        """Wrong sums, the least margin and its columns are those of the nn.RNN."""
        weights = random_network(12)
        model = models.DelayedAdder(12, 0.0, constrained=False)
        model.load_state_dict(weights)
        with patch("proof.part2.DIGITS", 5):
            columns = torch.cartesian_prod(*[torch.arange(3)] * 5)
            logits = model.eval()(part2.as_inputs(columns))
            totals = (columns << torch.arange(4, -1, -1)).sum(1, keepdim=True)
            signs = 2 * (totals >> torch.arange(5, -1, -1) & 1) - 1
            margins = (logits * signs).amin(1)
            for block in (1, 3, 5):
                result = part2.exhaust(weights, rigorous=False, block=block)
                self.assertEqual(result.cases, 3**5)
                self.assertEqual(result.unproven, int((margins <= 0).sum()))
                margin, worst = result.worst[0]
                self.assertAlmostEqual(margin, margins.min().item(), places=4)
                self.assertEqual(list(worst), columns[margins.argmin()].tolist())
        self.assertEqual(part2.as_pair((2, 0, 1)), (5, 4))

    def test_no_evaluation_is_beyond_its_bound(self):
        """Exact fractions, and float64 with its sums in another order."""
        weights = random_network(5)
        net, largest = part2.Network(weights, "cpu", rigorous=True), 0
        W_ih, W_hh, b_ih, b_hh, (w,), (c,) = lists(weights).values()

        def total(*terms):
            """Sum of products, of numbers of a kind, in an order."""
            terms = [number(a) * number(b) for a, b in terms]
            return sum((terms[i] for i in order if i < len(terms)), number(0))

        for _ in range(20):
            columns = torch.randint(3, (12,)).tolist()
            order = torch.randperm(8).tolist()
            for number, start in product((Fraction, float), (0.0, 0.25)):
                state, h = state_of(net, [start] * 5, start), [0] * 5  # off by D
                for n in columns:
                    state = net.step(state, n)
                    logit, bound = (Fraction(x.item()) for x in net.logits(state))
                    off = [Fraction(x.item()) for x in state[0]]
                    h = [max(0, total(*zip(row, h), (n, column), (1, b), (1, b_)))
                         for row, (column, _), b, b_ in zip(W_hh, W_ih, b_ih, b_hh)]
                    for x, y, S in zip(h, off, state[1]):
                        B = abs(Fraction(x) - y) / Fraction(net.unit)
                        self.assertLessEqual(B, Fraction(S.item()) - y)
                    distance = abs(Fraction(total(*zip(w, h), (1, c))) - logit)
                    self.assertLessEqual(distance, bound)
                    largest = max(largest, distance / bound * (start == 0))
        self.assertGreater(largest, 0.005)  # the bound is not absurdly wide

    def test_a_unit_that_is_off_may_be_on_in_another_evaluation(self):
        zero, one = torch.zeros(1), torch.ones(1, 1)
        values = torch.zeros(1, 2), one, zero - 0.5, zero, one, zero
        weights = dict(zip(models.WEIGHTS, values))
        net = part2.Network(weights, "cpu", rigorous=True)
        for D, expected in ((1.0, 0.5), (0.25, 0.0)):  # of h = 0, so a = -0.5
            h, S = net.step(state_of(net, [0.0], D), 0)
            self.assertEqual(h.item(), 0)
            self.assertTrue(expected <= S.item() * net.unit < expected + 1e-4)

    def test_float32_bounds_are_rounded_up(self):
        """They are what the theorem says, in fractions, or more; and not much more."""
        near, most = 0, 0
        for k in range(300):
            H = 1 + k % 4
            scale = 2.0 ** torch.randint(-70, 40, (H, 1)) if k % 3 else torch.ones(H, 1)
            weights = random_network(H)
            for name, factor in ((W_IH, scale), (W_HH, scale / scale.T),
                                 (B_IH, scale[:, 0]), (B_HH, scale[:, 0])):
                weights[name] = weights[name] * factor
            h = scale.double() * torch.rand(H, 1, dtype=torch.float64)
            W, column = weights[W_HH].double(), weights[W_IH].double()[:, :1]
            weights[B_IH] = -(W @ h + column)[:, 0].float() - weights[B_HH]  # a near 0
            net = part2.Network(weights, "cpu", rigorous=True)
            for _ in range(3):  # of Newton's, until h is as float64 allows
                a = torch.addmm(*net.steps[1][0], h)
                h = (h - torch.linalg.solve(W, a)).relu()
            h += torch.randint(-40, 41, (H, 1)) * 2.0**-52 * h
            S = (h * (1 + 9 * torch.rand(H, 1))).float() * (1 + 2**-22)
            a = torch.addmm(*net.steps[1][0], h)
            _, after = net.step([h, S], 1)
            unit = Fraction(2 * (H + 4), 2**53 - H - 4)
            for i in range(H):
                terms = W[i].abs().tolist(), S[:, 0].tolist()
                d = [column[i].item(), weights[B_IH][i].item(), weights[B_HH][i].item()]
                e = ((1 + unit / 2) * part1.dot(*(map(Fraction, x) for x in terms))
                     + sum(abs(Fraction(x)) for x in d))
                exact = Fraction(a[i].item())
                B = e if exact > 0 else max(0, e + exact / unit)
                found = Fraction(after[i].item()) - max(0, exact)
                self.assertGreaterEqual(found, B)
                most = max(most, (found - B) / (e + max(0, exact)))
                near += 0 < B < e
        self.assertGreater(near, 20)  # where rounding decides
        self.assertLess(most, 2e-4)

    def test_nan_and_overflow_prove_nothing(self):
        """States that overflow gave NaN, which counted as right."""
        weights = {**random_network(4), W_HH: torch.full((4, 4), 1e30),
                   B_IH: torch.ones(4), W_OUT: torch.tensor([[1.0, -1.0, 0.0, 0.0]])}
        unread = {name: weight.clone() for name, weight in random_network(4).items()}
        unread[W_HH][:, 0] = unread[W_OUT][0, 0] = 0  # but 0 times infinity is NaN
        unread[W_HH][0, 0] = unread[B_IH][0] = 3e38
        for mutant, rigorous in product((weights, unread), (True, False)):
            with patch("proof.part2.DIGITS", 5):
                result = part2.exhaust(mutant, rigorous=rigorous, block=3)
            self.assertEqual(result.unproven, result.cases)
            self.assertFalse(math.isfinite(result.margin))
            self.assertTrue(math.isnan(result.worst[0][0]))
        worst = min([(-1.0, ()), (math.nan, ())], key=part2._worst_first)
        self.assertTrue(math.isnan(worst[0]))

    def test_input_weights_that_differ_are_refused(self):
        weights = random_network(4)
        weights[W_IH][2, 1] += 1
        with self.assertRaisesRegex(ValueError, "columns of its input weights differ"):
            part2.exhaust(weights)


@needs_shipped
class Certify(TemporaryFolder):
    """certify.py and proof/coq.py as a user runs them."""

    def certify(self, *arguments):
        defaults = "--model", SHIPPED[1], "--picture", self.folder / "carry_line.png"
        return self.main(certify.main, *defaults, *arguments)

    def test_the_shipped_network_is_proven_and_drawn(self):
        kinds = {"a.pdf": b"%PDF", "new/a.svg": b"<?xml", "a": b"\x89PNG"}
        for name, magic in kinds.items():
            path = self.folder / name
            status, output, errors = self.certify("--picture", path)
            self.assertEqual((status, errors), (0, ""))
            lines = output.splitlines()
            self.assertRegex(lines[0], r"^model +\S.*part1\.pt: Part 1, 10 ReLU units")
            self.assertEqual(lines[2].split()[0], "proven")  # the verdict comes first
            self.assertEqual(output.count("  yes\n"), 8)
            self.assertEqual(path.read_bytes()[: len(magic)], magic)
        for name in ("a.txt", "a.pdf/a.png"):
            status, output, errors = self.certify("--picture", self.folder / name)
            self.assertEqual(status, 0)
            self.assertIn("\nproven ", output)
            self.assertRegex(errors, r"^no picture: \S+ was not written \(.+\)\n$")

    def test_what_fails_before_there_is_a_verdict_is_no_verdict(self):
        path = self.folder / "torch.py"
        path.write_text("raise ValueError('broken')", encoding="utf-8")
        for name in ("certify.py", "proof/coq.py"):
            done = script(name, folder=self.folder, PYTHONPATH=str(self.folder))
            self.assertEqual(done.returncode, 2)
            self.assertIn("ValueError: broken", done.stderr)
        path.rename(self.folder / "matplotlib.py")
        done = script("certify.py", "--model", SHIPPED[1], folder=self.folder,
                      PYTHONPATH=str(self.folder))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, r"^no picture: .* \(broken\)\n$")

    def test_a_counterexample_can_be_pasted(self):
        """The printed line, in a shell, in the same folder, shows a wrong digit."""
        self.addCleanup(os.chdir, Path.cwd())
        os.chdir(self.folder)
        worst = part2.Exhaustion(9, 3, -1.0, 0.01, [(math.nan, (0,) * 15 + (1,))])
        for part, name in ((1, "@it's $HOME.pt"), (2, "-2.pt"), (1, "runs/part1.pt")):
            model, _ = models.load(SHIPPED[part], part)
            model.output.bias.data += 40
            Path(name).parent.mkdir(exist_ok=True)
            models.save(model, name, 1, 0.5, 0)
            with patch("proof.part2.exhaust", return_value=worst):
                found = self.certify("--part", part, f"--model={name}")
            self.assertEqual((found[0], found[2]), (1, ""))
            reason = "\nnot proven: (. of the eight checks fail|3 of)"
            self.assertRegex(found[1], reason)
            command = re.search(r"of value 2\^(\d+)\) .*\n(.*)\n", found[1])
            place, line = command.groups()
            self.assertEqual("--model" in line, "runs" not in name)
            done = subprocess.run(line, shell=True, capture_output=True, text=True,
                                  timeout=900)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stdout, r"\naccuracy  \d\d?\.")  # not 100.00 %
            sums = (re.search(rf"\n{word} .* = (\w+)\n", done.stdout)[1]
                    for word in ("output", "exact"))
            output, exact = (int(number, 0) for number in sums)
            self.assertTrue((output ^ exact) >> int(place) & 1)

    def test_a_command_quotes_what_a_shell_would_read(self):
        words = ["--model=C:\\my nets\\a&b.pt", "0x1"]
        for name, first in (("nt", '"{}"'), ("posix", "'{}'")):
            with patch("os.name", name):
                quoted = [certify.quote(word) for word in words]
            self.assertEqual(quoted, [first.format(words[0]), words[1]])

    def test_printed_bounds_are_bounds(self):
        numbers = 0.675998, 4.6943, -0.0417, 1.0, 1e-9 / 3, Fraction(-2, 3)
        for number, digits in product(numbers, (2, 4, 6)):
            low, high = (rounded(number, digits)
                         for rounded in (certify.round_down, certify.round_up))
            texts = [f"{end:.{digits}g}" for end in (low, high)]
            low, high = map(Fraction, texts)
            self.assertTrue(low <= Fraction(number) <= high)
            self.assertLess(high - low, abs(Fraction(number)) / 10 ** (digits - 1))
        self.assertEqual(f"{certify.round_down(0.675998, 4)}", "0.6759")
        self.assertTrue(math.isnan(certify.round_down(math.nan, 4)))

    def test_a_pipe_soon_learns_how_long_it_takes(self):
        with redirect_stderr(io.StringIO()) as errors:
            progress = certify.Progress()
            for done in range(1, 1001):
                progress(done / 1000)
        shares = [float(line.split()[0]) for line in errors.getvalue().splitlines()]
        self.assertEqual(shares, [1, *range(10, 101, 10)])

    @patch.object(deploy, "read", lambda model, inputs: model(inputs))
    def test_a_counterexample_is_wrong_by_itself_too(self):
        model = network(shipped(1))
        right = model.forward
        for alone in (1, -1):  # -1 turns every digit over, as in every batch
            model.forward = lambda x: right(x) * (alone if len(x) == 1 else -1)
            found = search.find_counterexample(model, 40)
            self.assertEqual(found is None, alone == 1)

    @patch.object(deploy, "read", lambda model, inputs: model(inputs))
    def test_a_counterexample_asks_for_the_digit_that_is_wrong(self):
        model = network(shipped(1))
        right = model.forward  # but from place 20 on, every digit is 1
        model.forward = lambda x: right(x) + 99 * (torch.arange(x.shape[1]) >= 20)
        a, b, place = search.find_counterexample(model, 40)
        self.assertEqual((place, (a + b) >> place & 1), (20, 0))
        self.assertGreater(max(a, b).bit_length() + 1, place)  # digits that it writes

    def test_a_network_that_is_not_of_rank_one_is_proven_too(self):
        noise = torch.randn(10, 10, generator=torch.Generator().manual_seed(0))
        model = network({**shipped(1), W_HH: shipped(1)[W_HH] + 0.01 * noise})
        path = self.folder / "part1.pt"
        models.save(model, path, 1, 0.5, 0)
        status, output, errors = self.certify("--model", path)
        self.assertEqual(status, 0)
        self.assertIn("\nproven    every digit", output)
        self.assertIn("\ntheorem   proof/any_rank.py, with 12 sets", output)
        self.assertRegex(errors, "^any rank: try 1 of .*\n")
        status, output, errors = self.certify("--model", path, "--limit", 0)
        self.assertEqual(status, 1)
        self.assertIn("\nnot proven: ", output)
        self.assertIn("time is up", errors)

    def test_weights_by_other_names_get_the_names(self):
        path, weights = self.folder / "mine.pt", shipped(1)
        changes = ("output.", "fc."), ("rnn.", "net.rnn."), ("output.weight", "w")
        for old, new in changes:
            renamed = {name.replace(old, new): w for name, w in weights.items()}
            torch.save(renamed, path)
            status, _, errors = self.certify("--model", path)
            self.assertEqual(status, 2)
            for name in models.WEIGHTS:
                self.assertIn(name, errors)

    def test_part_2_is_proven_or_not(self):
        worst = [(0.5, (0,) * 15 + (1,))]
        for unproven, status, words in (
            (0, 0, "\nproven    all 4294967296 sums of two 16-digit numbers are right"),
            (3, 1, "\nnot proven: 3 of 9 cases\n"),
        ):
            result = part2.Exhaustion(9, unproven, 0.5, 0.01, worst)
            with patch("proof.part2.exhaust", return_value=result):
                found = self.certify("--part", 2, "--model", SHIPPED[2])
            self.assertEqual((found[0], found[2]), (status, ""))
            self.assertIn(words, found[1])
            self.assertNotIn("deploy.py", found[1])  # as 0 + 1 is right
            self.assertEqual("no counterexample found" in found[1], status == 1)

    @needs_shipped
    def test_another_order_of_digits_gets_no_verdict(self):
        with patch.object(models.SynchronousAdder, "order", "highest"):
            status, output, errors = self.certify()
        self.assertEqual((status, output), (2, ""))
        self.assertIn("another order of digits than the theorems", errors)

    def test_any_checkpoint_that_loads_gets_a_verdict(self):
        path = self.folder / "part1.pt"
        for value in (0.0, 1e30, -3e38, 1e-44):
            weights = {k: torch.full_like(w, value) for k, w in shipped(1).items()}
            models.save(network(weights), path, 1, 0.5, 0)
            status, output, _ = self.certify("--model", path)
            self.assertEqual(status, 1)
            self.assertIn("\nnot proven: ", output)

    def test_the_picture_is_drawn_whatever_the_users_matplotlib_is_set_to(self):
        style = "text.usetex: True\nbackend: Qt4Agg\n"
        (self.folder / "matplotlibrc").write_text(style, encoding="utf-8")
        environment = {"MPLBACKEND": "nonsense", "PYTHONOPTIMIZE": "2"}
        done = script("certify.py", folder=self.folder, **environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("\nwrote ", done.stdout)

    def test_small_encodings_can_show_the_help(self):
        status, output, errors = self.main(certify.main, "--help")
        self.assertEqual((status, errors, output.isascii()), (0, "", True))

    def test_what_has_no_verdict_gets_a_sentence(self):
        path = self.folder / "part1.pt"
        nan = network({**shipped(1), B_OUT: torch.tensor([math.nan])})
        models.save(nan, path, 1, 0.5, 0)
        for function, words, *arguments in (
            (certify.main, "its part is 1, not 2", SHIPPED[1], "--part", 2),
            (coq.main, "not all of its weights are finite", path),
            (coq.main, "apt-get install coq", SHIPPED[1]),
        ):
            with patch("shutil.which", return_value=None):
                status, _, errors = self.main(function, "--model", *arguments)
            self.assertEqual(status, 2)
            self.assertIn(words, errors)

    def test_the_committed_evidence_is_of_the_shipped_networks(self):
        path = self.folder / "Shipped.v"
        arguments = "--model", SHIPPED[1], "--export", path
        self.assertEqual(self.main(coq.main, *arguments)[0], 0)
        committed = HERE / "proof" / "Shipped.v"
        self.assertEqual(committed.read_text(), path.read_text())
        for part in (1, 2):
            path = HERE / "experiments" / "results" / f"certificate_part{part}.txt"
            digest = models.fingerprint(shipped(part))[:16]
            self.assertIn(f"weights   {digest}\nproven ", path.read_text())


@needs_shipped
@unittest.skipUnless(shutil.which("coqc"), "needs coqc, of Debian's coq")
class Coq(TemporaryFolder):
    """Coq has the last word, whatever weights or certificate it gets."""

    @classmethod
    def setUpClass(cls):
        library = tempfile.TemporaryDirectory()
        cls.addClassCleanup(library.cleanup)
        cls.library = library.name
        coq.prepare(cls.library)  # seconds, so once

    def test_a_network_gets_a_theorem_without_axioms_or_is_told_why(self):
        w, path = shipped(1), self.folder / "part1.pt"
        prepare = partial(shutil.copytree, self.library, dirs_exist_ok=True)
        admitted = re.sub("Proof.*Qed", "Admitted", coq.THEOREM, flags=re.DOTALL)
        for weights, theorem, expected_status, words in (
            (w, coq.THEOREM, 0,
             "trained_network_adds\n     : adds rounds_to_float32 trained\n"
             "Closed under the global context\n"),
            (w, admitted, 1, "rejected: it takes axioms\n"),
            ({**w, B_OUT: w[B_OUT] + 16}, coq.THEOREM, 1,
             "\ncarry 0, digits 0 and 0: the logit may have the wrong sign\n"),
        ):
            models.save(network(weights), path, 1, 0.5, 0)
            with patch.multiple(coq, THEOREM=theorem, prepare=prepare):
                status, output, errors = self.main(coq.main, "--model", path)
            self.assertEqual((status, errors), (expected_status, ""))
            self.assertIn(words, output)

    def test_neither_mutants_nor_certificates_are_trusted(self):
        w, definitions, certificate = shipped(1), {}, coq.certificate
        noise = torch.randn(10, 10, generator=torch.Generator().manual_seed(0))
        entry, flipped = w[W_HH].clone(), w[W_HH].clone()
        entry.diagonal()[entry.diagonal().abs().argmax()] += 0.01  # of the pivot
        flipped[3, 5] *= -1
        for name, weights, lies in (
            ("scaled", scaled(w, [-30, 30, 0, 7, -19, 3, 22, -8, 11, 29]), {}),
            ("entry", {**w, W_HH: entry}, {}),
            ("flipped", {**w, W_HH: flipped}, {}),
            ("steep", {**w, W_HH: w[W_HH] * 1.5}, {}),
            ("noisy", {**w, W_HH: w[W_HH] + 0.1 * noise}, {}),
            ("no_errors", w, {"err": "vector []"}),
            ("no_cuts", w, {"cuts k": "[]"}),
        ):
            zero, one = prove(lists(weights)).intervals or prove(lists(w)).intervals
            with patch.object(coq, "certificate", lambda *a: certificate(*a) | lies):
                definitions[name] = coq.define(name, weights, (zero, one))
        definitions["swapped"] = coq.define("swapped", w, (one, zero))
        definitions["infinite"] = coq.define("infinite", with_overflow(w), (zero, one))
        verdicts = coq.verdicts(self.library, definitions)
        self.assertEqual(verdicts, [True] + 8 * [False])

    def test_a_network_of_any_rank_gets_a_theorem(self):
        path = self.folder / "part1.pt"
        models.save(network(of_any_rank()), path, 1, 0.5, 0)
        prepare = partial(shutil.copytree, self.library, dirs_exist_ok=True)
        with patch.object(coq, "prepare", prepare):
            status, output, errors = self.main(coq.main, "--model", path)
        self.assertEqual(status, 0)
        self.assertTrue(output.endswith(
            "trained_network_adds\n     : adds rounds_to_float32 trained\n"
            "Closed under the global context\n"))
        self.assertRegex(errors, r"\nany rank: Coq is to check \d+ zonotopes\n\Z")

    def test_no_certificate_of_any_rank_is_trusted(self):
        weights = of_any_rank()
        _, sets = find_any_rank.prove(lists(weights))
        entry = weights[W_HH].clone()
        entry[0, 0] += 1

        def times(factor, matrices):
            return [[[int(factor * e) for e in row] for row in m] for m in matrices]

        definitions = {}
        for name, other, lies in (
            ("wrong_entry", {W_HH: entry}, {}),
            ("wrong_output", {B_OUT: weights[B_OUT] + 16}, {}),
            ("no_steps", {}, {"depth": -2, "halvings": 0}),
            ("crossed", {}, {"next": sets.next[1:] + sets.next[:1]}),
            ("elsewhere", {}, {"centres": sets.centres[::-1]}),
            ("wide", {}, {"columns": times(4, sets.columns)}),
            ("half_y", {}, {"inverses": times(0.5, sets.inverses)}),
        ):
            lies = sets._replace(**lies)
            definitions[name] = coq.define_any_rank(name, {**weights, **other}, lies)
        for name, pattern, lie in (
            ("no_error", r"error := \d+", "error := 0"),
            ("no_spare", r"spare := entries \[.*?\]", "spare := entries []"),
            ("no_y", r"inverse := table \[\[.*?\]\]", "inverse := table []"),
            ("carried", "is_carry := false", "is_carry := true"),
            ("all_zeros", "is_digit := true", "is_digit := false"),
            ("negative", "quantum := ", "quantum := -"),
            ("no_nodes", r"nodes := \[.*\];\n  depth", "nodes := [];\n  depth"),
        ):
            text = coq.define_any_rank(name, weights, sets)
            definitions[name] = re.sub(pattern, lie, text, flags=re.DOTALL)
            self.assertNotEqual(definitions[name], text)
        terms = [f"check_any_rank {name} {name}_certificate" for name in definitions]
        verdicts = coq.evaluate(self.library, "".join(definitions.values()), terms)
        self.assertEqual(verdicts, [False] * len(terms))

    def test_what_torch_gets_wrong_at_the_ends_of_float32_is_rejected(self):
        """Infinity in a unit that the others ignore; factors that are read as zero."""
        self.assertGreater(wrong_digits(with_overflow(shipped(1))), 0)
        networks = {"plain": three_units(0), "subnormal": three_units(70)}
        proven = [prove(lists(weights)).proven for weights in networks.values()]
        intervals = prove(lists(networks["plain"])).intervals
        definitions = [coq.define(name, weights, intervals)
                       for name, weights in networks.items()]
        accepted = coq.verdicts(self.library, dict(zip(networks, definitions)))
        self.assertEqual((proven, accepted), ([True, False], [True, False]))
        if not torch.set_flush_denormal(True):
            self.skipTest("needs a processor that can read subnormal numbers as zero")
        self.addCleanup(torch.set_flush_denormal, False)
        wrong = [wrong_digits(weights) > 0 for weights in networks.values()]
        self.assertEqual(wrong, [False, True])

    def test_coq_reads_no_other_file(self):
        """Files with the library's names, and Coq's, in all places where Coq looks."""
        weights = shipped(1)
        wrong = {**weights, B_OUT: weights[B_OUT] + 16}
        definitions = {
            name: coq.define(name, net, prove(lists(weights)).intervals)
            for name, net in {"good": weights, "wrong": wrong}.items()
        }
        done = coq.coqc(self.folder, "Adder.v", "Definition check := true.")
        self.assertEqual(done.returncode, 0)
        (self.folder / ".coqrc").write_text("This is no Coq.")
        for place in ("", "coq", ".local/share/coq"):
            for name in ("Adder.vo", "Binadd/Adder.vo", "Coq/QArith/Qabs.vo"):
                path = self.folder / place / name
                path.parent.mkdir(parents=True, exist_ok=True)
                if not path.exists():
                    shutil.copy(self.folder / "Adder.vo", path)
        variables = "COQPATH", "COQLIB", "HOME", "XDG_DATA_HOME", "XDG_DATA_DIRS"
        library = self.folder / "library"
        library.mkdir()
        for name in variables:
            with patch.dict("os.environ", {name: str(self.folder)}):
                verdicts = coq.verdicts(self.library, definitions)
            self.assertEqual(verdicts, [True, False], name)
        shutil.copy(HERE / "proof" / "Adder.v", library)
        with patch.dict("os.environ", dict.fromkeys(variables, str(self.folder))):
            coq.prepare(library)
        for name in ("Adder.vo", "Float32.vo", "Runs.vo"):
            self.assertTrue((library / name).exists())

    def test_runs_exist(self):
        """Or else every network would add, for want of runs that do not."""
        text = (HERE / "proof" / "Runs.v").read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(self.library, folder, dirs_exist_ok=True)
            done = coq.coqc(folder, "Runs.v", text)
        self.assertEqual((done.returncode, done.stdout.strip()), (0, coq.CLOSED))


class Readme(unittest.TestCase):
    def test_windows_gets_the_same_two_lines(self):
        text = (HERE / "README.md").read_text(encoding="utf-8")
        blocks = re.findall(r"^```\n(.*?)\n^```", text, re.DOTALL | re.MULTILINE)
        here, windows = (block.splitlines() for block in blocks[:2])
        set_up, test = (line.replace("venv/bin/", "venv\\Scripts\\") for line in here)
        expected = [f'cmd /c "{set_up.replace("python3", "python")}"', test]
        self.assertEqual(windows, expected)


class Experiments(TemporaryFolder):
    def test_the_lstm_derivation_agrees_with_autograd(self):
        self.assertLess(max(lstm_bptt.compare().values()), 1e-12)

    @needs_shipped
    def test_a_hunted_margin_is_that_of_its_columns(self):
        model, _ = models.load(SHIPPED[2], 2)
        margin, columns = hunt(model, population=64, rounds=6)
        a, b = part2.as_pair(columns)
        inputs, sums = batch([(a, b)], 17, "highest", torch.float64)
        with torch.no_grad():
            least = ((2 * sums - 1) * model(inputs)).min().item()
        self.assertAlmostEqual(margin, least, places=9)

    def test_unchanged_training_is_that_of_the_script(self):
        train_network(settings, seed=3, epochs=2, path=self.folder / "here.pt")
        arguments = "--seed", 3, "--epochs", 2, "--out", self.folder, "--device", "cpu"
        main = partial(run, 1, settings, "Train.")
        self.assertEqual(self.main(main, *arguments)[0], 0)
        digests = [models.load(self.folder / name, 1)[1]["sha256"]
                   for name in ("here.pt", "part1.pt")]
        self.assertEqual(*digests)

    @needs_shipped
    def test_an_attack_finds_what_is_wrong(self):
        weights = {name: weight.numpy() for name, weight in shipped(1).items()}
        zero, one = prove(lists(shipped(1))).intervals
        for shift, intervals, problem in (
            (0, (zero, one), ""),
            (16, (zero, one), "a digit is wrong"),
            (math.nan, (zero, one), "a digit is wrong"),
            (0, (zero, (one[0], one[0])), "s is outside"),
        ):
            mutant = {**weights, B_OUT: weights[B_OUT] + numpy.float32(shift)}
            found = attack.refuted(mutant, intervals, numpy.random.default_rng(0))
            self.assertEqual(found.partition(",")[0], problem)

    @needs_shipped
    def test_carry_select_writes_the_digits_of_the_sequential_run(self):
        model, *proof = parallel.shipped()
        for length in (1, 7, 50):
            pairs = search.adversarial_pairs(length)[-40:]
            for inputs, digits in zip(pairs.float(), search.exact_digits(pairs)):
                chosen = parallel.select(model, inputs, *proof, length=4, pieces=3)
                self.assertEqual(chosen.int().tolist(), digits.tolist())

    @needs_shipped
    def test_carry_select_refuses_intervals_that_float64_cannot_tell_apart(self):
        model, (zero, one), v = parallel.shipped()
        inputs = torch.ones(9, 2)
        lower, upper = sorted((zero, one))
        for gap, refused in ((1e-9, False), (1e-18, True), (0, True)):
            close = lower, (lower[1] + Fraction(gap), upper[1])
            intervals = close if zero == lower else close[::-1]
            if refused:
                with self.assertRaisesRegex(models.UserError, "too close for float64"):
                    parallel.select(model, inputs, intervals, v, length=4)
            else:
                parallel.select(model, inputs, intervals, v, length=4)

    def test_help_measures_nothing(self):
        """Nor overwrites the pictures and tables in results/, nor needs docstrings."""
        paths = [path for folder in (".", "experiments", "page", "proof", "report")
                 for path in (HERE / folder).glob("*.py")
                 if path.name[:5] != "test_" and "__main__" in path.read_text("utf-8")]
        self.assertGreater(len(paths), 20)
        for path in paths:
            code = compile(path.read_text("utf-8"), path, "exec", optimize=2)  # -OO
            names = {"__name__": "__main__", "__file__": str(path), "__doc__": None}
            run = partial(exec, code, names)
            with patch.object(common, "RESULTS", self.folder), \
                    patch.object(tables, "write_whole"), \
                    patch("sys.path", [str(path.parent), *sys.path]):
                status, output, errors = self.main(run, "--help")
            self.assertEqual((status, errors), (0, ""), path)
            self.assertTrue(output.startswith("usage: "), path)
            self.assertEqual(list(self.folder.iterdir()), [])

    def test_packages_with_the_names_of_experiments_do_no_harm(self):
        for name in ("tables", "common", "attack", "hunt", "parallel"):
            text = "raise ImportError('PyTables, say')"
            (self.folder / f"{name}.py").write_text(text, encoding="utf-8")
        done = script("test_proof.py", "Readme", folder=HERE,
                      PYTHONPATH=str(self.folder))
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_the_tables_say_what_the_results_say(self):
        for name in tables.TEXTS:
            text = (HERE / name).read_text(encoding="utf-8")
            self.assertIn("<!-- table ", text)
            self.assertEqual(tables.refresh(text), text)

    def test_the_notebook_shows_the_code_as_it_is(self):
        """Its stored outputs are of today's code: else run it, and save it."""
        notebook = json.loads((HERE / "binadd.ipynb").read_text(encoding="utf-8"))
        sources = [(HERE / name).read_text(encoding="utf-8") for name in SEVEN]
        shown = [
            "".join(output.get("data", {}).get("text/markdown", ""))
            for cell in notebook["cells"]
            for output in cell.get("outputs", ())
        ]
        blocks = "\n\n\n".join(
            text.removeprefix("```python\n").removesuffix("\n```")
            for text in shown
            if text.startswith("```")
        ).split("\n\n\n")
        handed_in = not (HERE / ".ci").exists()
        if handed_in and not any(cell.get("outputs") for cell in notebook["cells"]):
            self.skipTest("the notebook's outputs were cleared")
        self.assertEqual(len(blocks), 15)  # functions and classes
        for block in blocks:
            self.assertTrue(any(block in source for source in sources), block)


@unittest.skipUnless(
    nbclient and find_spec("ipykernel"), "needs nbclient and ipykernel")
class Notebook(TemporaryFolder):
    """binadd.ipynb in a real kernel, in a folder with a space in its name."""

    def run_cells(self, folder, last=None):
        """Cells after running all, or up to one, with two epochs of training."""
        notebook = nbformat.read(HERE / "binadd.ipynb", 4)
        for cell in notebook.cells:
            cell.source = re.sub(r"(?m)^EPOCHS = \d+", "EPOCHS = 2", cell.source)
            if last and last in cell.source:
                notebook.cells = notebook.cells[: notebook.cells.index(cell) + 1]
                break
        place = {"metadata": {"path": str(folder)}}
        nbclient.NotebookClient(notebook, timeout=900, resources=place).execute()
        return notebook.cells

    def test_it_runs_from_a_zip_and_again_after_a_restart(self):
        source, here = self.folder / "source" / "binadd", self.folder / "my folder"
        for name in ("proof", "pretrained"):
            shutil.copytree(HERE / name, source / name)
        for name in (*SEVEN, "certify.py"):
            shutil.copy(HERE / name, source)
        shutil.make_archive(str(here / "binadd"), "zip", source.parent)
        printed = "".join(output.get("text", "") for cell in self.run_cells(here)
                          for output in cell.get("outputs", ()))
        self.assertIn("exact     1,1,0,1,0,0,1,1,0 = 203\n", printed)  # of %run
        self.assertIn("proven", printed)
        written = {path.name for path in (here / "binadd/binadd/runs").iterdir()}
        self.assertEqual(written, {"carry_line.png", "part1.pt", "part1_loss.png",
                                   "part2.pt", "part2_loss.png"})
        self.run_cells(here, FIRST)

    def test_without_the_files_it_says_what_to_do(self):
        with self.assertRaisesRegex(nbclient.exceptions.CellExecutionError,
                                    "Put this notebook beside dataset.py"):
            self.run_cells(self.folder, FIRST)


class FirstCell(TemporaryFolder):
    """The notebook's first cell of code, without a kernel."""

    FILES = "certify.py", "dataset.py", "models.py", "train_part1.py", "train_part2.py"

    def go(self):
        """Where it goes from the temporary folder, as a path from there."""
        cells = json.loads((HERE / "binadd.ipynb").read_text(encoding="utf-8"))["cells"]
        texts = ("".join(cell["source"]) for cell in cells)
        source = next(text for text in texts if FIRST in text)
        here, path, names = os.getcwd(), sys.path.copy(), {}
        os.chdir(self.folder)
        try:
            exec(source.partition("\ngo_to_files()\n")[0], names)
            names["go_to_files"]()
            self.assertEqual(sys.path[0], os.getcwd())
            return Path.cwd().relative_to(self.folder.resolve()).as_posix()
        finally:
            os.chdir(here)
            sys.path[:] = path

    def write(self, folder, *names):
        for name in names:
            path = self.folder / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("mine", encoding="utf-8")

    def test_it_finds_this_project_and_no_other(self):
        for folder in ("", "b", "c/d"):
            self.write(folder, "dataset.py", "models.py")  # another project's
        for place in ("a/b/c", "a/b", "e", ""):  # the nearest of several
            self.write(place, *self.FILES)
            self.assertEqual(self.go(), place or ".")

    def test_it_takes_the_first_zip_that_is_whole(self):
        for number, folder in enumerate(("b/", "c/", "deep/er/")):
            with zipfile.ZipFile(self.folder / f"{number}.zip", "w") as archive:
                for name in self.FILES[number == 0 :]:  # one is missing in the first
                    archive.writestr(folder + name, 99 * "content")
        path = self.folder / "1.zip"
        path.write_bytes(path.read_bytes().replace(b"contentc", b"another "))
        (self.folder / "0.5.zip").write_bytes(b"PK, but no zip")
        (self.folder / "0.6.zip").mkdir()
        self.assertEqual(self.go(), "2/deep/er")
        self.write("2/deep/er", "models.py")
        self.assertEqual(self.go(), "2/deep/er")  # again, after a restart
        kept = (self.folder / "2/deep/er/models.py").read_text(encoding="utf-8")
        self.assertEqual(kept, "mine")

    def test_a_zip_of_any_make_overwrites_nothing(self):
        for name, folder in (("flat.zip", ""), ("W.ZIP", "back\\slash\\")):
            self.write("", "README.md")
            with zipfile.ZipFile(self.folder / name, "w") as archive:
                for file in (*self.FILES, "README.md"):
                    archive.writestr(zipfile.ZipInfo(f"{folder}{file}"), "theirs")
            place = Path(name).stem + "/" + folder.replace("\\", "/")
            self.assertEqual(self.go(), place.strip("/"))
            kept = (self.folder / "README.md").read_text(encoding="utf-8")
            self.assertEqual(kept, "mine")
            shutil.rmtree(self.folder / Path(name).stem)
            (self.folder / name).unlink()

    def test_without_the_files_it_says_what_to_do(self):
        self.write("", "dataset.py")
        with self.assertRaisesRegex(SystemExit, "Put this notebook beside dataset.py"):
            self.go()


class HandIn(TemporaryFolder):
    def hand_in(self, *names, root=HERE, **environment):
        path = root / "report" / "handin.py"
        return script(path, *names, folder=self.folder, **environment)

    def as_a_student_leaves_it(self):
        """Copy of the project, with a filled-in notebook and other things in it."""
        unwanted = "runs", "venv", "env", ".*", "__pycache__", "*.homework1*"
        root = self.folder / "mine"
        shutil.copytree(HERE, root, ignore=shutil.ignore_patterns(*unwanted))
        path = root / "binadd.ipynb"
        notebook = json.loads(path.read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            text = "".join(cell["source"])  # one string, as some editors save it
            cell["source"] = re.sub("(?m)^NAME = .*", "NAME = 'Ada'", text)
        notebook["cells"].insert(0, notebook["cells"][3])
        path.write_text(json.dumps(notebook), encoding="utf-8")
        for name in ("env/pyvenv.cfg", "env/lib/a.py", "conda/conda-meta/history",
                     "pyvenv.cfg", "lib/b.py", "report/report.typ", "my_test.py"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text("mine", encoding="utf-8")
        if hasattr(os, "mkfifo"):
            os.mkfifo(root / "pipe")
        try:
            (root / "dead").symlink_to(root / "nowhere")
        except OSError:
            pass  # Windows asks for a privilege
        return root

    @needs_pandoc
    def test_what_a_student_left_is_handed_in_and_stays(self):
        root = self.as_a_student_leaves_it()
        before = {path for path in root.rglob("*") if "__pycache__" not in path.parts}
        done = self.hand_in("José", "King Lovelace", root=root)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        after = {path for path in root.rglob("*") if "__pycache__" not in path.parts}
        self.assertEqual(before, after)
        folder = self.folder / "KING-LOVELACE-JOSÉ.homework1"
        names = {path.name for path in folder.iterdir()}
        self.assertEqual(names, {"report.pdf", "source"})
        self.assertTrue(folder.with_name(f"{folder.name}.zip").exists())
        source = folder / "source"
        names = {path.name for path in source.iterdir()}
        self.assertLess({*SEVEN, "README.md", "binadd.ipynb", "my_test.py"}, names)
        for name in ("env", "conda", "pyvenv.cfg", "lib", "pipe", "dead",
                     "report/report.pdf"):
            self.assertFalse((source / name).exists(), name)
        notebook = (source / "binadd.ipynb").read_text(encoding="utf-8")
        self.assertIn(r'"NAME = \"José King Lovelace\"', notebook)
        outputs = [cell["outputs"] for cell in json.loads(notebook)["cells"]
                   if FIRST in "".join(cell["source"])]
        self.assertEqual(outputs, [[]])  # which showed another name

        readme = (source / "README.md").read_text(encoding="utf-8")
        self.assertNotIn("handin.py", readme)
        named = re.findall(r"\]\(([^():#]+)[#)]", readme)  # links, and files
        named += re.findall(r"^  (\S+(?:/|\.\w+)) ", readme, re.MULTILINE)
        self.assertIn("../report.pdf", named)
        for name in named:
            self.assertTrue((source / name).exists(), name)

        again = self.hand_in("José", "King Lovelace", root=root)
        self.assertEqual(again.returncode, 2)
        self.assertIn("is there already", again.stderr)
        done = self.hand_in("Eve", "Lovelace", root=source)  # from what was handed in
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    @needs_pandoc
    def test_a_pypandoc_without_pandoc_gets_a_sentence(self):
        done = self.hand_in("Ada", "Lovelace", PYPANDOC_PANDOC=str(self.folder / "no"))
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, r"Pandoc failed \(.*; try pip install .*\.\n\Z")

    def test_only_a_plain_name_is_filled_in(self):
        with patch("sys.path", [str(HERE / "report"), *sys.path]):
            fill_in = runpy.run_path(HERE / "report" / "handin.py")["fill_in"]
        for field, filled in (
            ("'O\\'Neil'", False), ('"Ada \\"C\\" L"', False), ('"""Ada"""', False),
            ('"Ada" + " L"', False), ('""  # yours', True), ("'Ada'", True),
        ):
            cell = {"cell_type": "code", "source": [f"NAME = {field}\n", "X = 1"]}
            notebook = json.loads(fill_in("José K", json.dumps({"cells": [cell]})))
            names = {}
            exec("".join(notebook["cells"][0]["source"]), names)
            expected = "José K" if filled else eval(field)
            self.assertEqual(names["NAME"], expected)
        with self.assertRaisesRegex(models.UserError, "binadd.ipynb is no notebook"):
            fill_in("Ada", "<<<<<<< ours")

    def test_what_cannot_be_made_gets_a_sentence(self):
        self.addCleanup(os.chdir, Path.cwd())
        os.chdir(self.folder)
        blocked = self.folder / "pypandoc.py"
        blocked.write_text("raise ImportError('blocked')", encoding="utf-8")
        ahead = [str(self.folder), str(HERE / "report")]
        with patch("sys.path", ahead + sys.path), patch.dict("sys.modules"):
            for name in ("build", "pypandoc"):  # which another test may have imported
                sys.modules.pop(name, None)
            main = runpy.run_path(HERE / "report" / "handin.py")["main"]
        for first, last, words in (
            ("", "b", "'' cannot be a part of a folder's name"),
            ("a/b", "c", "'a/b' cannot be a part of a folder's name"),
            ("what?", "b", r"'what\?' cannot be a part of a folder's name"),
            ("a" * 300, "b", "too long|not found"),
            ("Ada", "Lovelace", r"needs pypandoc and typst \(blocked\); try pip"),
        ):
            status, _, errors = self.main(main, first, last)
            self.assertEqual(status, 2)
            self.assertRegex(errors, rf"({words}).*\.\n\Z")
            self.assertEqual(list(self.folder.glob("*.homework1*")), [])


if __name__ == "__main__":
    unittest.main()
