"""Tests of what goes beyond the assignment: proof/, certify.py and experiments/.

What needs a program or a package that is not installed is skipped by name.
"""

import json
import math
import random
import re
import shutil
import sys
import tempfile
import unittest
import unittest.mock
from fractions import Fraction
from pathlib import Path

import torch

import certify
import deploy
import models
import test_binadd
from proof import coq, part1, part2, search
from dataset import to_digits
from proof.part1 import PAIRS, check, prove
from train_part1 import part1 as settings

HERE = Path(__file__).absolute().parent
RESULTS = HERE / "experiments" / "results"
sys.path.append(str(HERE / "experiments"))

import attack
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

needs_coq = unittest.skipUnless(shutil.which("coqc"), "needs coqc, of Debian's coq")


def shipped(part):
    """Weights of a shipped network, as tensors."""
    return models.load(test_binadd.SHIPPED[part], part)[1]["state_dict"]


def lists(weights):
    """Weights as the proof takes them: nested lists of floats."""
    return {name: weight.tolist() for name, weight in weights.items()}


def network(weights):
    """Part 1's network with these weights, on the CPU."""
    hidden = len(weights["rnn.bias_ih_l0"])
    model = models.SynchronousAdder(hidden, 0.0, constrained=False)
    model.load_state_dict(weights)
    return model.eval()


def scaled(weights, exponents):
    """The same network, with each unit times its own power of two."""
    factors = torch.tensor([2.0**k for k in exponents])
    W_ih, W_hh, b_ih, b_hh, w, c = (weights[name] for name in models.WEIGHTS)
    rows = factors[:, None]
    values = W_ih * rows, W_hh * rows / factors, b_ih * factors, b_hh * factors
    return dict(zip(models.WEIGHTS, (*values, w / factors, c)))


def repeated(weights, times):
    """The same network with every unit in so many copies; a power of two is exact."""
    W_ih, W_hh, b_ih, b_hh, w, c = (weights[name] for name in models.WEIGHTS)
    W_ih, b_ih, b_hh = (value.repeat(times, *[1] * (value.dim() - 1))
                        for value in (W_ih, b_ih, b_hh))
    W_hh, w = W_hh.repeat(times, times) / times, w.repeat(1, times) / times
    return dict(zip(models.WEIGHTS, (W_ih, W_hh, b_ih, b_hh, w, c)))


def wrong_digits(weights, length=300):
    """Number of digits that the network gets wrong on adversarial streams."""
    pairs = search.adversarial_pairs(length)
    with torch.no_grad():
        digits = network(weights)(pairs.float()) > 0
    return int((digits != search.exact_digits(pairs).bool()).sum())


def changed(weights, name, place, value):
    weights = {key: weight.clone() for key, weight in weights.items()}
    weights[name][place] = value
    return weights


W_HH = "rnn.weight_hh_l0"


@test_binadd.needs_shipped
class Part1(unittest.TestCase):
    """The checker accepts what is right, and nothing else."""

    def setUp(self):
        self.weights = shipped(1)

    def test_the_shipped_network_is_proven(self):
        verdict = prove(lists(self.weights))
        self.assertTrue(verdict.proven)
        self.assertIsNone(verdict.reason)
        cases = {(case.carry, case.pair): case for case in verdict.cases}
        self.assertEqual(set(cases), {(k, x) for k in (0, 1) for x in PAIRS})
        for (k, x), case in cases.items():
            self.assertEqual((case.target, case.digit), divmod(sum(x) + k, 2))
            low, high = verdict.intervals[case.target]
            self.assertTrue(low <= case.image[0] <= case.image[1] <= high)
        self.assertEqual(check(lists(self.weights), verdict.intervals), verdict)

    def test_mutants_are_not_proven(self):
        w = self.weights
        entry, bias = w[W_HH][7, 7], w["output.bias"]
        for mutant in (
            changed(w, W_HH, (7, 7), entry + 0.01),  # the pivot
            changed(w, W_HH, (3, 5), -w[W_HH][3, 5]),
            changed(w, "output.bias", 0, bias + 8),
            changed(w, "output.weight", 0, -w["output.weight"]),
            changed(w, "rnn.bias_ih_l0", slice(None), 0.0),
            changed(w, "rnn.weight_ih_l0", (slice(None), 1), 0.0),
            {**w, W_HH: 1.5 * w[W_HH]},
            {**w, W_HH: w[W_HH].T},
            {name: torch.zeros_like(weight) for name, weight in w.items()},
        ):
            verdict = prove(lists(mutant))
            self.assertFalse(verdict.proven)
            self.assertTrue(verdict.reason)

    def test_intervals_that_do_not_do_are_refused(self):
        weights, (zero, one) = lists(self.weights), prove(lists(self.weights)).intervals
        for intervals in (
            (zero, (one[0] + 1, one[1] + 1)),
            ((zero[0] / 99, zero[1]), one),
            (zero, (one[0], one[0])),
            ((zero[0], one[1]), (zero[0], one[1])),  # one for both says nothing
        ):
            self.assertFalse(check(weights, intervals).proven)
        for intervals in ((one, zero), ((1, -1), one), (zero, one[::-1])):
            with self.assertRaises(ValueError):
                check(weights, intervals)

    def test_the_verdict_does_not_depend_on_powers_of_two(self):
        generator = random.Random(0)
        verdict = prove(lists(self.weights))
        for exponents in (
            *([k] * 10 for k in (-30, -12, 5, 30)),
            *([generator.randint(-30, 30) for _ in range(10)] for _ in range(10)),
        ):
            other = prove(lists(scaled(self.weights, exponents)))
            self.assertTrue(other.proven)
            for one, two in zip(verdict.cases, other.cases):
                for a, b in zip(one.logits, two.logits):
                    self.assertAlmostEqual(float(a), float(b), delta=1e-9)
        edge = changed(self.weights, "output.bias", 0, self.weights["output.bias"] + 8)
        self.assertFalse(prove(lists(scaled(edge, [20] * 10))).proven)

    def test_a_sum_that_may_overflow_is_not_proven(self):
        """Scaled by 2¹²⁰ and more, the network's own sums end in infinity."""
        reasons = set()
        for k in range(100, 128):
            weights = scaled(self.weights, [k] * 10)
            if all(weight.isfinite().all() for weight in weights.values()):
                verdict = prove(lists(weights))
                reasons.add(verdict.reason)
                if wrong_digits(weights):
                    self.assertFalse(verdict.proven)
        self.assertEqual(reasons, {None, "a sum in float32 may overflow"})

    def test_a_logit_that_may_overflow_is_not_proven(self):
        for exponent, proven in ((100, True), (126, False)):
            factor = 2.0**exponent / self.weights["output.weight"].abs().max()
            weights = {**self.weights}
            for name in ("output.weight", "output.bias"):
                weights[name] = self.weights[name] * factor
            self.assertEqual(prove(lists(weights)).proven, proven)

    def test_weights_of_any_size_get_a_verdict(self):
        """Finite ones around 1e30 to 3e38 once ended in an OverflowError."""
        generator, accepted = torch.Generator().manual_seed(0), 0
        for i in range(300):
            hidden = 1 + i % 12
            low, high = ((-45, 38.5), (25, 38.5), (-45, -30))[i % 3]

            def draw(*shape):
                exponents = torch.rand(shape, generator=generator) * (high - low) + low
                signs = 1 - 2 * torch.randint(2, shape, generator=generator)
                return (signs * 10**exponents).clamp(-3.4e38, 3.4e38)

            W_hh = draw(hidden, hidden)
            if i % 2:
                u, v = draw(hidden, 1), draw(1, hidden)
                W_hh = (u * v).clamp(-3.4e38, 3.4e38)
            values = draw(hidden, 2), W_hh, draw(hidden), draw(hidden)
            values = *values, draw(1, hidden), draw(1)
            accepted += prove(lists(dict(zip(models.WEIGHTS, values)))).proven
        self.assertEqual(accepted, 0)

    def test_what_is_not_float32_is_refused(self):
        for value in (math.nan, math.inf, -math.inf, 0.1, 1e39):
            weights = lists(self.weights)
            weights["output.bias"] = [value]
            with self.assertRaisesRegex(ValueError, "finite float32"):
                prove(weights)

    def test_a_thousand_units_get_a_verdict(self):
        weights = repeated(self.weights, 64)
        self.assertTrue(prove(lists(weights)).proven)
        torch.manual_seed(0)  # not of rank one, and intervals that creep
        verdict = prove(lists({**weights, W_HH: torch.randn(640, 640) / 30}))
        self.assertIn("rank one", verdict.reason)
        verdict = prove(lists({**weights, W_HH: 1.03 * weights[W_HH]}))
        self.assertIsInstance(verdict.proven, bool)

    def test_nearly_rank_one_is_enough(self):
        torch.manual_seed(0)
        noise = torch.randn(10, 10)
        for size, proven in ((1e-4, True), (1e-1, False)):
            weights = {**self.weights, W_HH: self.weights[W_HH] + size * noise}
            self.assertEqual(prove(lists(weights)).proven, proven)

    def test_what_is_proven_runs_right(self):
        """Networks on the edge: some that are perturbed are proven, some are wrong."""
        torch.manual_seed(0)
        proven = wrong = 0
        for i in range(60):
            size = 10 ** (-3 + 3 * i / 60)
            weights = {name: weight * (1 + size * torch.randn(weight.shape))
                       for name, weight in self.weights.items()}
            u, v = part1.split(lists(self.weights)[W_HH])
            u, v = (torch.tensor([*map(float, values)]) for values in (u, v))
            weights[W_HH] = torch.outer(u * (1 + size * torch.randn(10)), v)
            mistakes, verdict = wrong_digits(weights), prove(lists(weights)).proven
            self.assertFalse(verdict and mistakes)
            proven, wrong = proven + verdict, wrong + (mistakes > 0)
        self.assertGreater(min(proven, wrong), 5)

    def test_extremes_are_those_of_a_fine_grid(self):
        generator = random.Random(0)
        for _ in range(50):
            def draw():
                return [Fraction(generator.randint(-9, 9), 4) for _ in range(6)]

            a, d, u = draw(), draw(), draw()
            low, high = -3, 2
            values = [sum(a_i * max(d_i + u_i * s, 0) for a_i, d_i, u_i in zip(a, d, u))
                      for s in [low + Fraction(i, 200) for i in range(1001)]]
            least, greatest = part1.extremes(a, d, u, low, high)
            self.assertTrue(least <= min(values) and max(values) <= greatest)
            self.assertAlmostEqual(float(least), float(min(values)), delta=0.3)
            self.assertAlmostEqual(float(greatest), float(max(values)), delta=0.3)

    def test_rounding_bounds_sums_in_any_order(self):
        """And is not far from what can happen: a bound of zero or infinity is none."""
        generator, largest = random.Random(0), 0
        for _ in range(2000):
            n = generator.choice((2, 5, 14))
            a = torch.tensor([generator.gauss(0, 1) for _ in range(n)])
            b = torch.tensor([generator.random() for _ in range(n)])
            products = a * b
            computed = torch.zeros(())
            for i in generator.sample(range(n), n):
                computed = computed + products[i]
            p, q = ([Fraction(x) for x in vector.tolist()] for vector in (a, b))
            exact = sum(x * y for x, y in zip(p, q))
            row = [abs(int(x * 2**149)) for x in p]
            (bound,), _ = part1.rounding([row], q)
            error = abs(Fraction(computed.item()) - exact)
            self.assertLessEqual(error, bound)
            largest = max(largest, error / bound)
        self.assertGreater(largest, 0.1)


def random_network(hidden, scale=1.0):
    """Part 2 weights whose states neither die nor explode, with equal input columns."""
    W_hh = scale * torch.randn(hidden, hidden) / hidden**0.5
    column = torch.randn(hidden, 1)
    biases = 0.3 * torch.randn(2, hidden)
    values = column.repeat(1, 2), W_hh, *biases, torch.randn(1, hidden), torch.randn(1)
    return dict(zip(models.WEIGHTS, values))


class Part2(unittest.TestCase):
    """All cases are run, and no evaluation is further off than the bounds say."""

    def setUp(self):
        torch.manual_seed(0)

    @test_binadd.needs_shipped
    def test_the_worst_cases_of_the_shipped_network_are_proven(self):
        result = part2.exhaust(shipped(2), every=2000)
        self.assertEqual((result.cases, result.unproven), (10 * 3**7, 0))
        self.assertGreater(result.margin, 0)
        self.assertTrue(0 < result.bound < 1)
        plain = part2.exhaust(shipped(2), every=2000, rigorous=False)
        self.assertAlmostEqual(plain.margin, result.margin, delta=result.bound + 1e-4)

    def test_it_runs_the_network_that_is_deployed(self):
        """Wrong sums, the least margin and its columns are those of the nn.RNN."""
        weights = random_network(12)
        model = models.DelayedAdder(12, 0.0, constrained=False)
        model.load_state_dict(weights)
        with unittest.mock.patch("proof.part2.DIGITS", 5):
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
        W_ih, W_hh, b_ih, b_hh, w, c = (
            [[Fraction(x) for x in row] for row in value.view(len(value), -1).tolist()]
            for value in (weights[name] for name in models.WEIGHTS)
        )

        def evaluate(number, order, columns):
            """Logits from numbers of a kind, their terms added in an order."""
            def total(terms):
                terms, result = [number(a) * number(b) for a, b in terms], number(0)
                return sum((terms[i] for i in order if i < len(terms)), result)

            h, logits = [0] * 5, []
            for n in columns:
                h = [max(total([*zip(W_hh[i], h), (n, W_ih[i][0]), (1, b_ih[i][0]),
                                (1, b_hh[i][0])]), 0) for i in range(5)]
                logits.append(total([*zip(w[0], h), (1, c[0][0])]))
            return logits

        for trial in range(20):
            columns = torch.randint(3, (12,)).tolist()
            state, found = net.start, []
            for n in columns:
                state = net.step(state, n)
                found.append([value.item() for value in net.logits(state)])
            order = torch.randperm(8).tolist()
            for number in (Fraction, float):
                others = evaluate(number, order, columns)
                for other, (logit, bound) in zip(others, found):
                    distance = abs(Fraction(other) - Fraction(logit))
                    self.assertLessEqual(distance, bound)
                    largest = max(largest, distance / Fraction(bound))
        self.assertGreater(largest, 0.005)  # the bound is not absurdly wide

    def test_nan_and_overflow_prove_nothing(self):
        """States that overflow gave NaN, which counted as right."""
        weights = random_network(4)
        weights.update({W_HH: torch.full((4, 4), 1e30),
                        "rnn.bias_ih_l0": torch.ones(4),
                        "output.weight": torch.tensor([[1.0, -1.0, 0.0, 0.0]])})
        for rigorous in (True, False):
            with unittest.mock.patch("proof.part2.DIGITS", 5):
                result = part2.exhaust(weights, rigorous=rigorous, block=3)
            self.assertEqual(result.unproven, result.cases)
            self.assertTrue(math.isnan(result.margin))
            self.assertTrue(math.isnan(result.worst[0][0]))

    def test_input_weights_that_differ_are_refused(self):
        weights = random_network(4)
        weights["rnn.weight_ih_l0"][2, 1] += 1
        with self.assertRaisesRegex(ValueError, "columns of its input weights differ"):
            part2.exhaust(weights)


@test_binadd.needs_shipped
class Certify(test_binadd.TemporaryFolder):
    """certify.py as a user runs it."""

    def certify(self, *arguments):
        picture = self.folder / "carry_line.png"
        return self.main(certify.main, "--picture", picture, *arguments)

    def test_a_proof_of_the_shipped_network(self):
        status, output, errors = self.certify()
        self.assertEqual((status, errors), (0, ""))
        lines = output.splitlines()
        self.assertRegex(lines[0], r"^model +\S.*part1\.pt: Part 1, 10 ReLU units")
        self.assertEqual(lines[2].split()[0], "proven")  # the verdict comes first
        self.assertEqual(output.count("  yes\n"), 8)
        picture = (self.folder / "carry_line.png").read_bytes()
        self.assertEqual(picture[:4], b"\x89PNG")

    def test_the_committed_evidence_is_of_the_shipped_networks(self):
        for part in (1, 2):
            evidence = (RESULTS / f"certificate_part{part}.txt").read_text()
            digest = models.fingerprint(shipped(part))[:16]
            self.assertIn(f"weights   {digest}\nproven ", evidence)

    def test_a_network_that_is_not_proven_gets_a_counterexample(self):
        weights = shipped(1)
        model = network(changed(weights, "output.bias", 0, 4.0))
        path = self.folder / "part1.pt"
        models.save(model, path, 1, 0.5, 0)
        status, output, errors = self.certify("--model", path)
        self.assertEqual((status, errors), (1, ""))
        self.assertRegex(output, "\nnot proven: . of the eight checks fail")
        command = output.partition("python deploy.py ")[2].partition("\n")[0]
        arguments = ("--model", path, *command.split())
        _, shown, _ = self.main(deploy.main, *arguments)
        self.assertNotIn("accuracy  100.00", shown)
        self.assertIn("accuracy", shown)

    def test_a_counterexample_is_wrong_by_itself_too(self):
        model = network(shipped(1))
        for wrong_alone in (False, True):
            def forward(inputs, right=model.forward):
                wrong = wrong_alone or len(inputs) > 1
                return right(inputs) * (1 - 2 * wrong)

            with unittest.mock.patch.object(model, "forward", forward):
                found = search.find_counterexample(model, 40)
            self.assertEqual(found is not None, wrong_alone)

    def test_any_checkpoint_that_loads_gets_a_verdict(self):
        path, zeros = self.folder / "part1.pt", dict(shipped(1))
        for value in (0.0, 1.0, 1e30, -3e38, 1e-44):
            weights = {name: torch.full_like(w, value) for name, w in zeros.items()}
            models.save(network(weights), path, 1, 0.5, 0)
            status, output, _ = self.certify("--model", path)
            self.assertEqual(status, 1)
            self.assertIn("\nnot proven: ", output)
        status, _, errors = self.certify("--model", path, "--part", 2)
        self.assertEqual(status, 2)
        self.assertIn("its part is 1, not 2", errors)

    def test_pictures_by_name(self):
        for name, magic in (
            ("a.pdf", b"%PDF"), ("new/a.svg", b"<?xml"), ("a", b"\x89PNG")
        ):
            path = self.folder / name
            status, output, _ = self.certify("--picture", path)
            self.assertEqual((status, path.read_bytes()[: len(magic)]), (0, magic))
        for name in ("a.txt", "a.pdf/a.png"):
            status, output, errors = self.certify("--picture", self.folder / name)
            self.assertEqual(status, 0)
            self.assertIn("\nproven ", output)
            self.assertRegex(errors, r"^no picture: \S+ was not written \(.+\)\n$")

    def test_a_matplotlib_that_fails_never_costs_a_verdict(self):
        broken = self.folder / "broken" / "matplotlib"
        broken.mkdir(parents=True)
        (broken / "__init__.py").write_text("raise ImportError('no DLL')")
        for environment in (
            {"PYTHONPATH": str(broken.parent)}, {"MPLBACKEND": "Qt4Agg"}
        ):
            done = test_binadd.script("certify.py", folder=self.folder, **environment)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("\nproven ", done.stdout)
            self.assertNotIn("Traceback", done.stderr)

    def test_small_encodings(self):
        for encoding in ("cp932", "ascii"):
            done = test_binadd.script("certify.py", "--help", folder=self.folder,
                                      PYTHONIOENCODING=encoding)
            self.assertEqual((done.returncode, done.stderr), (0, ""))


@test_binadd.needs_shipped
class Coq(test_binadd.TemporaryFolder):
    """Coq has the last word, whatever weights or certificate it gets."""

    @classmethod
    def setUpClass(cls):
        library = tempfile.TemporaryDirectory()
        cls.addClassCleanup(library.cleanup)
        cls.library = library.name
        if shutil.which("coqc"):
            coq.prepare(cls.library)  # seconds, so once

    def coq(self, weights, *arguments):
        """Status, output and errors of the script for a network with these weights."""
        def prepare(folder):
            shutil.copytree(self.library, folder, dirs_exist_ok=True)

        path = self.folder / "part1.pt"
        models.save(network(weights), path, 1, 0.5, 0)
        with unittest.mock.patch("proof.coq.prepare", prepare):
            return self.main(coq.main, "--model", path, *arguments)

    def test_the_committed_file_is_of_the_shipped_network(self):
        path = self.folder / "Shipped.v"
        arguments = "--model", test_binadd.SHIPPED[1], "--export", path
        self.assertEqual(self.main(coq.main, *arguments)[0], 0)
        committed = HERE / "proof" / "Shipped.v"
        self.assertEqual(committed.read_text(), path.read_text())

    @needs_coq
    def test_an_accepted_network_gets_a_theorem_without_axioms(self):
        status, output, errors = self.coq(shipped(1))
        self.assertEqual((status, errors), (0, ""))
        self.assertTrue(output.endswith(
            "trained_network_adds\n     : adds rounds_to_float32 trained\n"
            "Closed under the global context\n"
        ), output)

    @needs_coq
    def test_runs_exist(self):
        """Or else every network would add, for want of runs that do not."""
        text = (HERE / "proof" / "Runs.v").read_text(encoding="utf-8")
        done = coq.coqc(self.library, "Runs.v", text)
        self.assertEqual((done.returncode, done.stdout.strip()), (0, coq.CLOSED))

    @needs_coq
    def test_a_rejected_network_is_told_why(self):
        weights = shipped(1)
        bias = weights["output.bias"] + 8
        status, output, errors = self.coq(changed(weights, "output.bias", 0, bias))
        self.assertEqual((status, errors), (1, ""))
        reason = "carry 0, digits 1 and 1: the logit may have the wrong sign"
        self.assertIn(reason, output.partition("rejected:\n")[2].splitlines())

    @needs_coq
    def test_mutants_are_rejected(self):
        w = shipped(1)
        torch.manual_seed(0)
        networks = {
            "shipped": w,
            "scaled": scaled(w, [-30, 30, 0, 7, -19, 3, 22, -8, 11, 29]),
            "entry": changed(w, W_HH, (7, 7), w[W_HH][7, 7] + 0.01),
            "bias": changed(w, "output.bias", 0, w["output.bias"] + 8),
            "sign": changed(w, W_HH, (3, 5), -w[W_HH][3, 5]),
            "rank": {**w, W_HH: w[W_HH] + 0.1 * torch.randn(10, 10)},
        }
        intervals = prove(lists(w)).intervals
        definitions = {
            name: coq.define(name, mutant, prove(lists(mutant)).intervals or intervals)
            for name, mutant in networks.items()
        }
        verdicts = coq.verdicts(self.library, definitions)
        self.assertEqual(verdicts, [True, True, False, False, False, False])

    @needs_coq
    def test_certificates_are_not_trusted(self):
        w = shipped(1)
        low, high = prove(lists(w)).intervals
        text = coq.define("honest", w, (low, high))
        forged = {"honest": text, "swapped": coq.define("swapped", w, (high, low))}
        for field, lie in (("err", "vector []"), ("cuts k", "[]")):
            name, end = f"no_{field[:3]}", r"(;\n  \w| \|})"
            forged[name] = text.replace("honest", name)
            forged[name], number = re.subn(f"\\b{field} := [^|]*?{end}",
                                           rf"{field} := {lie}\1", forged[name])
            self.assertEqual(number, 1)
        verdicts = coq.verdicts(self.library, forged)
        self.assertEqual(verdicts, [True, False, False, False])

    @needs_coq
    def test_a_theorem_that_takes_axioms_is_rejected(self):
        theorem = re.sub("Proof.*Qed", "Admitted", coq.THEOREM, flags=re.DOTALL)
        with unittest.mock.patch("proof.coq.THEOREM", theorem):
            self.assertEqual(self.coq(shipped(1))[0], 1)

    def test_what_is_no_network_never_gets_to_coq(self):
        nan = changed(shipped(1), "output.bias", 0, math.nan)
        status, output, errors = self.coq(nan)
        self.assertEqual((status, output), (2, ""))
        self.assertIn("not all of its weights are finite", errors)

    def test_without_coq_it_says_how_to_get_it(self):
        with unittest.mock.patch("shutil.which", return_value=None):
            status, _, errors = self.main(coq.main, "--model", test_binadd.SHIPPED[1])
        self.assertEqual(status, 2)
        self.assertIn("apt-get install coq", errors)


class Experiments(test_binadd.TemporaryFolder):
    def test_the_lstm_derivation_agrees_with_autograd(self):
        self.assertLess(max(lstm_bptt.compare().values()), 1e-12)

    @test_binadd.needs_shipped
    def test_a_hunted_margin_is_that_of_its_columns(self):
        model, _ = models.load(test_binadd.SHIPPED[2], 2)
        margin, columns = hunt(model, population=64, rounds=6)
        a, b = part2.as_pair(columns)
        inputs, _ = test_binadd.batch([(a, b)], 17, "highest", torch.float64)
        signs = 2 * torch.tensor(to_digits(a + b, 17, "highest")) - 1
        with torch.no_grad():
            logits = model(inputs)[0]
        self.assertAlmostEqual(margin, (signs * logits).min().item(), places=9)

    def test_unchanged_training_is_that_of_the_script(self):
        path, script = self.folder / "here.pt", ("train_part1.py", "--seed", 3)
        train_network(settings, seed=3, epochs=2, path=path)
        test_binadd.script(*script, "--epochs", 2, folder=self.folder)
        digests = [models.load(path, 1)[1]["sha256"]
                   for path in (path, self.folder / "runs" / "part1.pt")]
        self.assertEqual(*digests)

    @test_binadd.needs_shipped
    def test_an_attack_finds_what_is_wrong(self):
        weights = {name: weight.numpy() for name, weight in shipped(1).items()}
        zero, one = prove(lists(shipped(1))).intervals
        for name, shift, intervals, problem in (
            ("output.bias", 0, (zero, one), ""),
            ("output.bias", 8, (zero, one), "a digit is wrong"),
            ("output.bias", math.nan, (zero, one), "a digit is wrong"),
            ("output.bias", 0, (zero, (one[0], one[0])), "s is outside"),
        ):
            generator = attack.np.random.default_rng(0)
            mutant = {**weights, name: weights[name] + attack.np.float32(shift)}
            found = attack.refuted(mutant, intervals, generator)
            self.assertEqual(found.partition(",")[0], problem)

    @test_binadd.needs_shipped
    def test_carry_select_writes_the_digits_of_the_sequential_run(self):
        model, *proof = parallel.shipped()
        for length in (1, 7, 50):
            pairs = search.adversarial_pairs(length)[-40:]
            for inputs, digits in zip(pairs.float(), search.exact_digits(pairs)):
                chosen = parallel.select(model, inputs, *proof, length=4, pieces=3)
                self.assertEqual(chosen.int().tolist(), digits.tolist())

    def test_the_tables_say_what_the_results_say(self):
        for name in tables.TEXTS:
            text = (HERE / name).read_text(encoding="utf-8")
            self.assertIn("<!-- table ", text)
            self.assertEqual(tables.refresh(text), text)


@unittest.skipUnless(nbclient, "needs nbclient and ipykernel")
class Notebook(test_binadd.TemporaryFolder):
    """binadd.ipynb in a real kernel, in a folder with a space in its name."""

    def setUp(self):
        super().setUp()
        self.here = self.folder / "my folder"
        self.here.mkdir()

    def run_cells(self, count=None):
        """Cells after running the first ones, or all, with two epochs of training."""
        notebook = nbformat.read(HERE / "binadd.ipynb", 4)
        cell = notebook.cells[1]
        self.assertIn("\nEPOCHS = 100", cell.source)
        cell.source = cell.source.replace("EPOCHS = 100", "EPOCHS = 2")
        notebook.cells = notebook.cells[:count]
        place = {"metadata": {"path": str(self.here)}}
        nbclient.NotebookClient(notebook, timeout=170, resources=place).execute()
        return notebook.cells

    def test_it_runs_from_a_zip_and_again_after_a_restart(self):
        source = self.folder / "source" / "binadd"
        source.mkdir(parents=True)
        for name in (*test_binadd.SEVEN, "certify.py"):
            shutil.copy(HERE / name, source)
        for name in ("proof", "pretrained"):
            shutil.copytree(HERE / name, source / name)
        shutil.make_archive(str(self.here / "binadd"), "zip", source.parent)
        cells = self.run_cells()
        printed = "".join(output.get("text", "") for cell in cells if "outputs" in cell
                          for output in cell["outputs"])
        self.assertIn("exact     1,1,0,1,0,0,1,1,0 = 203\n", printed)  # of %run
        self.assertIn("proven", printed)
        written = {path.name for path in (self.here / "binadd" / "runs").iterdir()}
        self.assertEqual(written, {"carry_line.png", "part1.pt", "part1_loss.png",
                                   "part2.pt", "part2_loss.png"})
        self.run_cells(2)

    def test_without_the_files_it_says_what_to_do(self):
        with self.assertRaisesRegex(nbclient.exceptions.CellExecutionError,
                                    "Put this notebook beside dataset.py"):
            self.run_cells(2)


class HandIn(test_binadd.TemporaryFolder):
    def hand_in(self, *names, **environment):
        script = str(HERE / "report" / "handin.py")
        return test_binadd.script(script, *names, folder=self.folder, **environment)

    def test_a_folder_with_the_name(self):
        done = self.hand_in("Ada", "King Lovelace")
        if "needs pypandoc" in done.stderr:
            self.skipTest("needs pypandoc and typst")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        folder = self.folder / "KING-LOVELACE-ADA.homework1"
        self.assertTrue(folder.with_name(f"{folder.name}.zip").exists())
        for name in (*test_binadd.SEVEN, "README.md", "report.pdf", "proof/part1.py"):
            self.assertTrue((folder / name).exists(), name)
        notebook = json.loads((folder / "binadd.ipynb").read_text(encoding="utf-8"))
        source = "".join(notebook["cells"][1]["source"])
        self.assertIn('NAME = "Ada King Lovelace"', source)
        self.assertEqual(self.hand_in("Ada", "King Lovelace").returncode, 2)

    def test_what_cannot_be_a_folder_gets_a_sentence(self):
        for names in (("", "b"), ("a/b", "c"), ("what?", "b"), ("a" * 300, "b")):
            done = self.hand_in(*names)
            self.assertEqual(done.returncode, 2)
            self.assertRegex(done.stderr, r"(cannot be|too long|not found).*\.$")
            self.assertEqual(list(self.folder.glob("*.homework1*")), [])

    def test_without_pandoc_it_says_what_to_do(self):
        (self.folder / "pypandoc.py").write_text("raise ImportError('blocked')")
        done = self.hand_in("Ada", "Lovelace", PYTHONPATH=str(self.folder))
        self.assertEqual(done.returncode, 2)
        self.assertIn("needs pypandoc and typst (blocked); README.md", done.stderr)
        self.assertEqual(len(list(self.folder.glob("*.homework1"))), 0)
