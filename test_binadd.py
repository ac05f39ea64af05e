"""Tests of the assignment's files: python -m unittest. Python's + is the oracle.

Tests of what lies beyond these files are in test_proof.py. A test that needs a file
that is not here, such as a trained network in pretrained/, is skipped by name.
"""

import argparse
import copy
import csv
import functools
import inspect
import io
import itertools
import math
import os
import pickle
import random
import re
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
import warnings
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from unittest.mock import DEFAULT, Mock, patch

import torch
from torch.utils.data import DataLoader, Subset, random_split

import deploy
import models
import train_part1
import train_part2
from dataset import BinaryAddition, to_digits, to_integer
from models import DelayedAdder, SynchronousAdder, UserError

HERE = Path(__file__).absolute().parent
SHIPPED = {part: HERE / "pretrained" / f"part{part}.pt" for part in (1, 2)}
SEVEN = ("dataset.py", "models.py", "train_part1.py", "train_part2.py", "deploy.py",
         "test_binadd.py")  # and README.md
EXAMPLE = """\
input 1   0,0,1,0,1,1,0,1,0 = 180
input 2   1,1,1,0,1,0,0,0,0 = 23
output    1,1,0,1,0,0,1,1,0 = 203
exact     1,1,0,1,0,0,1,1,0 = 203
accuracy  100.00 % (9 of 9 digits)
"""
needs_shipped = unittest.skipUnless(
    SHIPPED[1].exists() and SHIPPED[2].exists(), "needs the folder pretrained")

torch.set_num_threads(1)


def script(path, *arguments, folder, **environment):
    """Finished process of a script, run in a folder, with its output as text."""
    return subprocess.run([sys.executable, HERE / path, *map(str, arguments)],
                          cwd=folder, env={**os.environ, **environment},
                          capture_output=True, text=True, encoding="utf-8",
                          errors="replace", timeout=900)


def batch(pairs, length, order="lowest", dtype=torch.float32):
    """Inputs (B, T, 2) and exact sums (B, T) for pairs of Python integers."""
    inputs = [[to_digits(n, length, order) for n in pair] for pair in pairs]
    sums = [to_digits(sum(pair), length, order) for pair in pairs]
    return torch.tensor(inputs, dtype=dtype).transpose(1, 2), torch.tensor(sums)


def integers_of(inputs, order):
    """The two integers of one sample's inputs (T, 2)."""
    return [to_integer(digits, order) for digits in inputs.int().T.tolist()]


class TemporaryFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def main(self, function, *arguments):
        """Status, output and errors of a script's main function, in this process."""
        argv = patch("sys.argv", ["script.py", *map(str, arguments)])
        output, errors = io.StringIO(), io.StringIO()
        with argv, redirect_stdout(output), redirect_stderr(errors):
            try:
                status = function() or 0
            except SystemExit as stop:
                status = stop.code
        return status, output.getvalue(), errors.getvalue()


class Digits(unittest.TestCase):
    def test_the_worked_example_has_these_digits(self):
        self.assertEqual(to_digits(180, 9), [0, 0, 1, 0, 1, 1, 0, 1, 0])
        self.assertEqual(to_digits(23, 7, "highest"), [0, 0, 1, 0, 1, 1, 1])
        self.assertEqual(to_integer([1, 1, 0, 1, 0, 0, 1, 1, 0]), 203)

    def test_digits_give_every_integer_back(self):
        many = random.Random(0).getrandbits(20_000)
        for n in (*range(256), 2**63 - 1, 2**63, 2**64, many):
            lowest = [n >> place & 1 for place in range(max(n.bit_length(), 1))]
            self.assertEqual(to_digits(n), lowest)
            self.assertEqual(to_digits(n, order="highest"), lowest[::-1])
            for order in ("lowest", "highest"):
                for length in (len(lowest), len(lowest) + 3):
                    digits = to_digits(n, length, order)
                    self.assertEqual(len(digits), length)
                    self.assertEqual(to_integer(digits, order), n)

    def test_what_is_not_a_number_is_refused(self):
        for wrong in (1.0, "1", None, [1]):
            with self.assertRaises((TypeError, ValueError), msg=repr(wrong)):
                to_digits(wrong)
        for wrong in ([2], [-1], [10], [1.0], ["1"], [None], []):
            with self.assertRaises(ValueError, msg=repr(wrong)):
                to_integer(wrong)
        for words, function, *arguments in (
            ("negative", to_digits, -1),
            ("too short: the number has 3", to_digits, 4, 2),
            ("not 'up'", to_digits, 1, 0, "up"),
            ("not 'up'", to_integer, [1], "up"),
        ):
            with self.assertRaisesRegex(ValueError, words):
                function(*arguments)


class Data(unittest.TestCase):
    """The Dataset keeps torch's contract, whatever loads from it."""

    def setUp(self):
        torch.manual_seed(0)

    def assert_sums(self, batches, order="lowest"):
        """Every sum is exact, and at least one zero pads both numbers."""
        for inputs, sums in batches:
            self.assertEqual(inputs.shape, (*sums.shape, 2))
            self.assertEqual((inputs.dtype, sums.dtype), (torch.float32,) * 2)
            for one_inputs, one_sum in zip(inputs, sums):
                a, b = integers_of(one_inputs, order)
                self.assertEqual(to_integer(one_sum.int().tolist(), order), a + b)
                self.assertFalse(one_inputs[-1 if order == "lowest" else 0].any())

    def test_every_sum_is_exact(self):
        cases = ({}, {"runs": 0.5}, {"min_digits": 62, "max_digits": 62},
                 {"length": 20}, {"max_digits": 1})
        for arguments in cases:
            for order in ("lowest", "highest"):
                data = BinaryAddition(size=200, order=order, **arguments)
                self.assert_sums(DataLoader(data, 64), order)
                self.assert_sums(DataLoader(data, 1), order)

    def test_a_sample_is_only_as_long_as_its_sum_needs(self):
        samples = list(BinaryAddition(size=5000))
        self.assertEqual({len(sums) for _, sums in samples}, set(range(2, 18)))
        self.assertEqual(len(samples), 5000)
        pairs = [integers_of(inputs, "lowest") for inputs, _ in samples]
        self.assertTrue(any(a == 0 for a, _ in pairs) and any(b == 0 for _, b in pairs))
        self.assertTrue(any(a >= 2**15 and b < 4 for a, b in pairs))
        self.assertLess(max(map(max, pairs)), 2**16)

    def test_an_epoch_is_100_batches_of_128_sums_of_fair_digits(self):
        batches = list(DataLoader(BinaryAddition(min_digits=16), batch_size=128))
        self.assertEqual([len(sums) for _, sums in batches], [128] * 100)
        columns = torch.cat([inputs for inputs, _ in batches])[:, :16].sum(2)
        for n, fair in ((0, 0.25), (1, 0.5), (2, 0.25)):
            share = (columns == n).float().mean().item()
            self.assertAlmostEqual(share, fair, delta=0.01)  # 9 standard errors

    def test_every_access_draws_anew(self):
        data = BinaryAddition(min_digits=16)
        self.assertFalse(torch.equal(data[0][0], data[0][0]))

    def test_one_by_one_and_batched_have_the_same_distribution(self):
        size = 20_000
        data = BinaryAddition(size, length=17, runs=0.25, min_digits=3)
        statistics = []
        for samples in (list(data), data.__getitems__(range(size))):
            digits = torch.stack([inputs for inputs, _ in samples])
            counts = [digits.sum(2) == n for n in range(3)] + [digits[..., 0] == 1]
            statistics.append(torch.stack(counts).float().mean(1))
        # A share has a standard error of 0.0035 at most, a difference of two 0.005.
        self.assertLess((statistics[0] - statistics[1]).abs().max().item(), 0.025)

    def test_every_kind_of_loader_gets_exact_sums(self):
        data = BinaryAddition(size=60)
        first, second = random_split(data, [40, 20])
        self.assert_sums(DataLoader(first, batch_size=16))
        for inputs, sums in DataLoader(second, batch_size=None):
            self.assert_sums([(inputs[None], sums[None])])
        shuffled = DataLoader(data, batch_size=4, shuffle=True)
        chosen = DataLoader(Subset(data, [3, 1, 4, 1, 5]), batch_size=2)
        for batches in zip(shuffled, chosen):  # in turn
            self.assert_sums(batches)
        for samples in DataLoader(data, batch_size=4, collate_fn=list):
            self.assertEqual([len(sample) for sample in samples], [2] * 4)

    def test_workers_do_not_repeat_each_other(self):
        data = BinaryAddition(size=8 * 16, min_digits=16)
        for method in torch.multiprocessing.get_all_start_methods():
            if method in ("spawn", "fork"):
                batches = list(DataLoader(data, batch_size=16, num_workers=2,
                                          multiprocessing_context=method))
                self.assert_sums(batches)
                rows = torch.cat([inputs for inputs, _ in batches]).flatten(1)
                self.assertEqual(len(torch.unique(rows, dim=0)), len(rows))

    def test_runs_are_long_carries(self):
        found = []  # samples where a carry can travel through 12 columns
        for runs in (0.0, 1.0):
            data = BinaryAddition(2000, min_digits=16, runs=runs)
            inputs, _ = next(iter(DataLoader(data, 2000)))
            rows = ["".join(map(str, row)) for row in inputs.sum(2).int().tolist()]
            found.append(sum("1" * 12 in row for row in rows))
        self.assertGreater(found[1], 10 * found[0] + 100)

    def test_senseless_arguments_are_refused(self):
        for wrong in ({"min_digits": 0}, {"max_digits": 63},
                      {"min_digits": 9, "max_digits": 8}, {"order": "up"},
                      {"runs": -0.1}, {"runs": 2}):
            with self.assertRaises(ValueError, msg=repr(wrong)):
                BinaryAddition(**wrong)
        for index in (10, -11):
            with self.assertRaises(IndexError):
                BinaryAddition(size=10)[index]


class Networks(unittest.TestCase):
    """What holds for networks before and while they learn."""

    def setUp(self):
        torch.manual_seed(0)

    def test_they_are_the_assignments(self):
        for settings, hidden in ((train_part1.part1, 10), (train_part2.part2, 100)):
            training, _ = settings()
            rnn, output = training["model"].rnn, training["model"].output
            self.assertIsInstance(rnn, torch.nn.RNN)
            self.assertEqual((rnn.input_size, rnn.hidden_size), (2, hidden))
            self.assertEqual((rnn.nonlinearity, rnn.num_layers), ("relu", 1))
            self.assertFalse(rnn.bidirectional)
            self.assertEqual((output.in_features, output.out_features), (hidden, 1))
            self.assertEqual((len(training["data"]), train_part1.BATCH), (12_800, 128))

    def test_part_1_is_causal(self):
        model = SynchronousAdder(10, 0.1).eval()
        inputs = torch.randint(2, (1, 20, 2)).float()
        changed = inputs.clone()
        changed[0, 7, 0] = 1 - changed[0, 7, 0]
        before, after = model(inputs)[0], model(changed)[0]
        self.assertTrue(torch.equal(before[:7], after[:7]))
        self.assertNotEqual(before[7], after[7])

    def test_part_2_reads_everything_before_it_writes(self):
        """Its logits are those of an nn.RNN fed all pairs, then zeros, step by step."""
        model = DelayedAdder(20, 0.05, ring=5).eval()
        inputs = torch.randint(2, (1, 5, 2)).float()
        _, state = model.rnn(inputs)  # all that is left of the numbers
        logits = []
        for _ in range(5):
            states, state = model.rnn(torch.zeros(1, 1, 2), state)
            logits.append(model.output(states)[0, 0])
        self.assertTrue(torch.allclose(torch.cat(logits), model(inputs)[0], atol=1e-5))

    def test_there_is_noise_only_while_training(self):
        inputs = torch.ones(4, 17, 2)
        for model in (SynchronousAdder(10, 0.3), DelayedAdder(100, 0.3)):
            self.assertFalse(torch.equal(model(inputs), model(inputs)))
            model.eval()
            self.assertTrue(torch.equal(model(inputs), model(inputs)))

    def test_constraints_hold_through_training(self):
        first, second = SynchronousAdder(10, 0.1), DelayedAdder(34, 0.05)
        for model in (first, second):
            model(torch.randint(2, (4, 17, 2)).float()).sum().backward()
            torch.optim.SGD(model.parameters(), lr=0.1).step()
        values = torch.linalg.svdvals(first.rnn.weight_hh_l0.detach().double())
        self.assertLess(values[1], 1e-6 * values[0])
        columns = second.rnn.weight_ih_l0
        self.assertTrue(torch.equal(columns[:, 0], columns[:, 1]))

    def test_rings_are_shift_registers(self):
        matrix = (models.rings(100, 17) > 0.5).float()
        self.assertEqual(int(matrix.sum()), 85)
        state = torch.zeros(100)
        state[20] = 1.0
        for step in range(18):
            self.assertEqual(state.nonzero().tolist(), [[17 + (3 + step) % 17]])
            state = matrix @ state

    def test_tensors_stay_on_their_device(self):
        """On the device "meta", mixing with tensors of the CPU fails, as on CUDA."""
        for model in (SynchronousAdder(10, 0.1), DelayedAdder(100, 0.05)):
            model.to("meta")(torch.zeros(4, 17, 2, device="meta")).sum().backward()
            devices = {weight.grad.device.type for weight in model.parameters()}
            self.assertEqual(devices, {"meta"})


@needs_shipped
class Shipped(unittest.TestCase):
    """The trained networks are right where random tests do not look."""

    def assert_right(self, part, pairs, length):
        model, _ = models.load(SHIPPED[part], part)
        inputs, sums = batch(pairs, length, model.order, model.precision)
        with torch.no_grad():
            wrong = ((deploy.read(model, inputs) > 0) != sums).any(1)
        self.assertEqual([pair for pair, bad in zip(pairs, wrong) if bad], [])

    def test_every_pair_of_short_numbers_is_right(self):
        for part, bits, length in ((1, 8, 9), (2, 6, 17)):
            pairs = list(itertools.product(range(2**bits), repeat=2))
            self.assert_right(part, pairs, length)

    def test_part_1_is_right_where_carries_are_long(self):
        bits = 5000  # more than deploy.PIECE, so read in two pieces
        ones, high = 2**bits - 1, 2 ** (bits - 1)
        third = ones // 3  # digits 1, 0, 1, 0, ...
        rare = sum(2**place for place in range(0, bits, 97))
        pairs = [(ones, 1), (1, ones), (ones, ones), (ones, 0), (0, 0),
                 (third, 2 * third), (third, 2 * third + 1), (third, third),
                 (rare, ones), (rare, rare), (ones - rare, rare + 1), (high, high)]
        self.assert_right(1, pairs, bits + 1)

    def test_part_2_is_right_where_runs_end_in_a_carry(self):
        ones = 0xFFFF
        runs = [(ones >> high & ~((1 << low) - 1), 1 << low)
                for high in range(16) for low in range(16 - high)]
        spoilt = [(a ^ (1 << place), b) for a, b in runs for place in range(16)]
        pairs = [*runs, *spoilt, *((a, ones) for a, _ in spoilt)]
        pairs += [(ones, 0), (0x5555, 0xAAAA)]
        self.assert_right(2, pairs + [(b, a) for a, b in pairs], 17)

    def test_torch_can_export_them(self):
        """Traced at one length, or scripted, a network is right at another, too."""
        for part in (1, 2):
            model, _ = models.load(SHIPPED[part], part)
            pairs = [(180, 23), (77, 178)]
            inputs, sums = batch(pairs, 17, model.order, model.precision)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # both are deprecated
                forms = torch.jit.script(model), torch.jit.trace(model, inputs[:, :5])
            for form in forms:
                self.assertTrue(torch.equal(form(inputs) > 0, sums.bool()))

    @unittest.skipUnless(torch.cuda.is_available(), "needs a CUDA device")
    def test_cuda_agrees_with_the_cpu(self):
        for part in (1, 2):
            model, _ = models.load(SHIPPED[part], part)
            inputs = torch.randint(2, (1000, 17, 2)).to(model.precision)
            with torch.no_grad():
                here, there = model(inputs), model.to("cuda")(inputs.to("cuda")).cpu()
            self.assertTrue(torch.allclose(here, there, atol=1e-3))


class Checkpoints(TemporaryFolder):
    def setUp(self):
        super().setUp()
        torch.manual_seed(0)
        self.path = self.folder / "part1.pt"
        models.save(SynchronousAdder(10, 0.1), self.path, 3, 0.25, 9)
        self.content = torch.load(self.path, weights_only=True)

    def assert_refused(self, path, words="part1.pt"):
        with self.assertRaises(UserError) as caught:
            models.load(path, 1)
        self.assertRegex(str(caught.exception), r"^\S.*\.$")
        self.assertIn(words, str(caught.exception))

    def test_saved_networks_and_bare_weights_load(self):
        for part, constrained in itertools.product((1, 2), (True, False)):
            model = models.MODELS[part](20, 0.1, constrained).eval()
            inputs = torch.randint(2, (8, 17, 2)).float()
            models.save(model, self.path, 3, 0.25, 9)
            for seed in (9, None):
                loaded, checkpoint = models.load(self.path, part)
                expected, found = model(inputs), loaded.float()(inputs)
                self.assertTrue(torch.allclose(expected, found, atol=1e-5))
                self.assertEqual(checkpoint.get("seed"), seed)
                self.assertEqual(set(checkpoint["state_dict"]), set(models.WEIGHTS))
                self.assertEqual(list(self.folder.iterdir()), [self.path])
                torch.save(checkpoint["state_dict"], self.path)  # for the second round

    def test_what_a_file_says_of_itself_stays_on_a_line(self):
        for value in ("97\nproven    every digit", 10**5 * [[]], "²", None, 3):
            torch.save({**self.content, "epoch": value, "seed": value}, self.path)
            line = deploy.describe(self.path, models.load(self.path, 1)[1])
            self.assertRegex(line, r"\A[^\n]*: Part 1, 10 ReLU units, seed .*\Z")
            self.assertTrue(line.isascii() and len(line) < len(str(self.path)) + 80)

    def test_a_float64_network_is_saved_in_float32(self):
        model, _ = models.load(self.path, 1)
        models.save(model.double(), self.path, 1, 0.5, 0)
        loaded = models.load(self.path, 1)[1]["state_dict"]
        self.assertEqual({weight.dtype for weight in loaded.values()}, {torch.float32})

    def test_other_content_gets_a_sentence(self):
        class Attack:
            def __reduce__(self):
                return os.system, ("touch attacked",)

        good, weights = self.content, self.content["state_dict"]
        name = "rnn.weight_hh_l0"
        matrix = weights[name]
        for words, content in (
            ("its part is 2", {**good, "part": 2}),
            ("something else", {**good, "part": torch.ones(2)}),
            ("its hidden is 11", {**good, "hidden": 11}),
            ("its sha256", {**good, "state_dict": {**weights, name: matrix + 1}}),
            ("the names rnn.", {**good, "state_dict": {}}),
            ("finite", {**weights, name: matrix * float("nan")}),
            ("finite", {**weights, name: matrix * float("inf")}),
            ("something else", {**weights, name: 3.0}),
            ("something else", {**weights, name: matrix[:9]}),
            ("something else", {**weights, name: torch.zeros(1).expand(10, 10**9)}),
            ("something else", {**weights, name: matrix.to_sparse()}),
            ("the names rnn.", {**weights, "extra": matrix}),
            ("the names rnn.", DelayedAdder(10, 0.05).state_dict()),
            ("the names rnn.", [1, 2]),
            ("something else", Attack()),
        ):
            with self.subTest(words):
                torch.save(content, self.path)
                self.assert_refused(self.path, words)
        self.assertFalse(Path("attacked").exists())

    def test_other_files_get_a_sentence(self):
        whole = self.path.read_bytes()
        for words, content in (
            ("damaged", b""),
            ("damaged", b"hello"),
            ("damaged", whole[:-1]),
            ("damaged", pickle.dumps({"part": 1})),
        ):
            self.path.write_bytes(content)
            self.assert_refused(self.path, words)
        self.assert_refused(self.folder, "is no file")
        self.assert_refused(self.folder / "missing", "python train_part1.py trains")

    def test_a_flipped_bit_never_loads_another_network(self):
        whole = self.path.read_bytes()
        expected = models.fingerprint(self.content["state_dict"])
        generator = random.Random(0)
        for _ in range(400):
            flipped = bytearray(whole)
            flipped[generator.randrange(len(whole))] ^= 1 << generator.randrange(8)
            self.path.write_bytes(flipped)
            with suppress(UserError):
                _, checkpoint = models.load(self.path, 1)
                found = models.fingerprint(checkpoint["state_dict"])
                self.assertEqual(found, expected)

    def test_a_failed_write_leaves_what_was_there(self):
        before = self.path.read_bytes()
        no = PermissionError(13, "no")
        with patch("os.replace", side_effect=no), patch("time.sleep"):
            with self.assertRaises(PermissionError):
                models.write_whole(self.path, b"new")
        self.assertEqual(self.path.read_bytes(), before)
        self.assertEqual(list(self.folder.iterdir()), [self.path])

    def test_a_write_that_fails_names_the_file(self):
        linked = self.folder / "linked"
        try:
            linked.symlink_to(self.folder)  # as a Mac's temporary folder is
        except OSError:
            linked = self.folder  # Windows asks for a privilege
        for path in (linked / "missing" / "file", self.folder, linked):
            with self.assertRaises(OSError) as caught:
                models.write_whole(path, b"new")
            self.assertEqual(caught.exception.filename, str(path))

    @unittest.skipIf(os.name == "nt", "Windows has other rights")
    def test_a_drive_needs_no_chmod_and_the_umask_holds(self):
        umask = os.umask(0o077)
        self.addCleanup(os.umask, umask)
        refuse = Mock(side_effect=PermissionError(1, "not on this drive"))
        with patch.multiple(os, chmod=refuse, fchmod=refuse, utime=refuse):
            models.write_whole(self.path, b"new")
            with redirect_stdout(io.StringIO()):
                train_part1.keep_earlier(self.path)
        modes = {path.stat().st_mode & 0o777 for path in self.folder.iterdir()}
        self.assertEqual(modes, {0o600})

    @unittest.skipUnless(hasattr(os, "mkfifo"), "needs named pipes")
    def test_a_device_or_a_link_stays_what_it_is(self):
        pipe, link = self.folder / "pipe", self.folder / "link"
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        models.write_whole(pipe, b"new")
        self.assertEqual(os.read(reader, 9), b"new")
        os.close(reader)
        try:
            link.symlink_to(self.path)
        except OSError:
            self.skipTest("needs symbolic links")
        models.write_whole(link, b"new")
        self.assertEqual((link.is_symlink(), self.path.read_bytes()), (True, b"new"))

    def test_a_replace_that_is_refused_once_is_tried_again(self):
        tries = [PermissionError(13, "a scanner reads it"), DEFAULT, DEFAULT]
        with patch("os.replace", wraps=os.replace, side_effect=tries) as replace:
            models.write_whole(self.path, b"one")
            self.assertEqual(self.path.read_bytes(), b"one")
            models.write_whole(self.path, b"two")
        first, again, second = (call.args[0] for call in replace.call_args_list)
        self.assertEqual(first, again)
        self.assertNotEqual(first, second)  # nor would two processes share a file


class Training(unittest.TestCase):
    def trained(self, seed=0, epochs=2, size=256, **changes):
        """Part 1's network and its losses, after a short training."""
        torch.manual_seed(seed)
        training, _ = train_part1.part1()
        training["data"].size = size
        training.update(changes)
        return training["model"], list(train_part1.train(**training, epochs=epochs))

    def test_training_learns(self):
        model, losses = self.trained(epochs=12, size=12_800)
        held_out = BinaryAddition(size=1024, min_digits=32, max_digits=32)
        _, exact = train_part1.evaluate(model, *next(iter(DataLoader(held_out, 1024))))
        self.assertGreater(exact, 0.99)
        self.assertLess(losses[-1], losses[0] / 10)

    def test_the_settings_say_what_the_ablations_found(self):
        for settings, good in (
            (train_part1.part1, lambda row: row["proven"] == "yes"),
            (train_part2.part2, lambda row: float(row["smallest_margin"]) > 0),
        ):
            name = f"{settings.__name__}_ablation.csv"
            path = HERE / "experiments" / "results" / name
            if not path.exists():
                self.skipTest("needs the folder experiments")
            with open(path, newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            total, right = (Counter(row["variant"] for row in rows if test(row))
                            for test in (bool, good))
            found = {name: f"{right[name]} of {total[name]}" for name in total}
            source = inspect.getsource(settings)
            said = re.findall(r",  # (.+): (\d+ of \d+)\n", source)
            self.assertGreater(len(said), 3)
            self.assertEqual(said, [(variant, found[variant]) for variant, _ in said])
            self.assertIn(f"as it is, {found['the recipe']}", " ".join(source.split()))

    def test_the_same_seed_gives_the_same_weights(self):
        outputs = [self.trained(seed)[0].output.weight for seed in (1, 1, 2)]
        self.assertTrue(torch.equal(outputs[0], outputs[1]))
        self.assertFalse(torch.equal(outputs[0], outputs[2]))

    def test_the_steps_are_those_of_a_plain_loop(self):
        samples = BinaryAddition().__getitems__(range(128))
        inputs, sums = next(iter(DataLoader(samples, 128)))
        model, twin = SynchronousAdder(10, 0), SynchronousAdder(10, 0)
        twin.load_state_dict(model.state_dict())
        other = torch.optim.Adam(twin.parameters(), 1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(other, 1e-2, 3)
        for _ in train_part1.train(model, samples, 1e-2, epochs=3):
            copy.deepcopy(model)
            self.assertTrue(model.training)
            train_part1.evaluate(model, torch.zeros(1, 3, 2), torch.zeros(1, 3))
            self.assertFalse(model.training)  # and then it is trained on
            other.zero_grad()
            torch.nn.BCEWithLogitsLoss()(twin(inputs), sums).backward()
            other.step()
            schedule.step()
            weights = [list(m.parameters()) for m in (model, twin)]
            self.assertTrue(all(map(torch.equal, *weights)))

    def test_averaging(self):
        """With recent=10 the second of two steps has a share of 10 in 11."""
        samples = BinaryAddition().__getitems__(range(128))
        vectors = []
        for data, epochs, recent in (
            (samples, 2, math.inf),  # two epochs of one step
            (2 * samples, 1, 10),  # one epoch of the same two steps
            (samples, 2, 10),
        ):
            torch.manual_seed(0)
            model = SynchronousAdder(10, 0)
            for _ in train_part1.train(model, data, 1e-2, 0.0, None, recent, epochs):
                weights = torch.nn.utils.parameters_to_vector(model.parameters())
                vectors.append(weights.detach())
        first, second, average, also_first, also_average = vectors
        self.assertTrue(torch.equal(first, also_first))
        self.assertTrue(torch.allclose(average, (first + 10 * second) / 11, atol=1e-6))
        self.assertTrue(torch.equal(average, also_average))
        last = torch.nn.utils.parameters_to_vector(model.parameters())
        self.assertTrue(torch.equal(last, average))  # also after the last yield

    def test_a_loss_that_is_not_finite_stops_the_training(self):
        model = SynchronousAdder(10, 0.1)
        torch.nn.init.constant_(model.output.bias, float("nan"))
        with self.assertRaisesRegex(FloatingPointError, "another --seed"):
            self.trained(model=model)

    def test_evaluation_counts_digits_and_whole_sums(self):
        sums = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
        logits = torch.tensor([[-1.0, 2.0, 3.0], [0.1, -5.0, 6.0]])  # the last is wrong
        model = Mock(return_value=logits)
        digits, exact = train_part1.evaluate(model, torch.zeros(2, 3, 2), sums)
        self.assertAlmostEqual(digits, 5 / 6)
        self.assertEqual(exact, 1 / 2)

    def test_the_cpu_computes_in_full_float32(self):
        torch.set_float32_matmul_precision("medium")
        os.environ["ONEDNN_DEFAULT_FPMATH_MODE"] = "BF16"
        for cuda, name in ((False, "auto"), (False, "cpu"), (True, "cpu")):
            with patch("torch.cuda.is_available", lambda: cuda):
                self.assertEqual(models.prepare_device(name).type, "cpu")
        self.assertFalse(torch.backends.cudnn.allow_tf32)
        self.assertEqual(torch.get_float32_matmul_precision(), "highest")
        self.assertEqual(os.environ["ONEDNN_DEFAULT_FPMATH_MODE"], "STRICT")

    @unittest.skipIf(torch.cuda.is_available(), "needs a machine without CUDA")
    def test_a_gpu_that_cannot_be_used_gets_a_sentence(self):
        with patch("torch.cuda.is_available", lambda: True):
            for name in ("auto", "cuda"):
                with self.assertRaisesRegex(UserError, "--device cpu"):
                    models.prepare_device(name)


class Scripts(TemporaryFolder):
    """The scripts as a user runs them, in a folder of their own."""

    def deploy(self, *arguments):
        """The same of deploy.py, with a network that is not trained."""
        path = self.folder / "part1.pt"
        if not path.exists():
            models.save(SynchronousAdder(10, 0.0), path, 1, 0.7, 5)
        return self.main(deploy.main, "--model", path, *arguments)

    def train(self, *arguments):
        """The same of train_part1.py."""
        main = functools.partial(train_part1.run, 1, train_part1.part1, "Train.")
        return self.main(main, "--out", self.folder, "--device", "cpu", *arguments)

    def files(self):
        return {path.name for path in self.folder.iterdir()}

    def test_the_seven_files_stand_alone(self):
        """Copied into an empty folder, they train, deploy and pass their tests."""
        beyond = r"(?m)^ *(from|import) (certify|proof|experiments|report|test_proof)\b"
        for name in SEVEN:
            self.assertNotRegex((HERE / name).read_text(encoding="utf-8"), beyond)
            shutil.copy(HERE / name, self.folder)

        def run(name, *arguments, **environment):
            path = self.folder / name
            return script(path, *arguments, folder=self.folder, **environment)

        style = "text.usetex: True\nbackend: Qt4Agg\nsavefig.format: nonsense\n"
        (self.folder / "matplotlibrc").write_text(style, encoding="utf-8")
        for part, units, epochs in ((1, 10, 2), (2, 100, 1)):
            training = (f"train_part{part}.py", "--epochs", epochs)
            trained = run(*training, MPLBACKEND="nonsense", PYTHONOPTIMIZE="2")
            self.assertEqual(trained.returncode, 0, trained.stderr)
            self.assertEqual(trained.stdout.count("\nepoch "), epochs)
            plot = self.folder / "runs" / f"part{part}_loss.png"
            self.assertEqual(plot.read_bytes()[:4], b"\x89PNG")
            added = run("deploy.py", "--part", part, 180, 23)
            self.assertEqual((added.returncode, added.stderr), (0, ""))
            path = Path("runs", f"part{part}.pt")
            start = f"model     {path}: Part {part}, {units} ReLU units, seed 0, epoch"
            self.assertTrue(added.stdout.startswith(start), added.stdout)

        tests = run("test_binadd.py", "Digits", "Shipped")
        self.assertEqual(tests.returncode, 0, tests.stderr)
        self.assertIn("skipped", tests.stderr)

    @needs_shipped
    def test_both_shipped_networks_add_the_worked_example(self):
        status, output, errors = self.main(deploy.main, 180, 23, "--model", SHIPPED[1])
        self.assertEqual((status, errors), (0, ""))
        model, result = output.split("\n", 1)
        self.assertIn("Part 1, 10 ReLU units", model)
        self.assertEqual(result, EXAMPLE)
        arguments = (180, "--part", 2, 23, "--model", SHIPPED[2])
        status, output, errors = self.main(deploy.main, *arguments)
        self.assertEqual((status, errors), (0, ""))
        self.assertIn("Part 2, 100 ReLU units", output)
        self.assertIn("output    0,0,0,0,0,0,0,0,0,1,1,0,0,1,0,1,1 = 203\n", output)
        self.assertIn("accuracy  100.00 % (17 of 17 digits)", output)

    def test_integers_of_every_kind_are_read(self):
        hint = "note: read as decimal; for binary, write 0b10110100 0b10111\n"
        for a, b, total, note in (
            ("0", "0", "0", ""),
            ("0xfF", "0b1", "256", ""),
            ("0o17", "1_000", "1015", ""),
            ("007", "+1", "8", ""),
            ("1" + 5000 * "0", "1", hex(10**5000 + 1), ""),
            ("10110100", "10111", "10120211", hint),
            ("0xb", "0b1010", "21", ""),  # no hint, though 11 and 10 look binary
        ):
            status, output, errors = self.deploy(a, b)
            self.assertEqual((status, errors), (0, note))
            self.assertEqual(output.splitlines()[4].rpartition(" = ")[2], total)

    def test_integers_are_read_from_a_file(self):
        path = self.folder / "numbers.txt"
        for encoding in ("utf-8", "utf-8-sig"):
            path.write_text("180\n\n0x17\n", encoding=encoding)
            status, output, errors = self.deploy(f"@{path}")
            self.assertEqual((status, errors), (0, ""))
            self.assertTrue(output.splitlines()[4].endswith("= 203"))

    def test_accuracy_is_100_only_if_every_digit_is_right(self):
        model = SynchronousAdder(10, 0.0)  # which will write nothing but ones
        torch.nn.init.zeros_(model.output.weight)
        torch.nn.init.ones_(model.output.bias)
        models.save(model, self.folder / "part1.pt", 1, 0.7, 5)
        _, output, _ = self.deploy(180, 23)
        self.assertIn("output    1,1,1,1,1,1,1,1,1 = 511\nexact     1,1,0", output)
        self.assertIn("accuracy  55.55 % (5 of 9 digits)\n", output)
        digits = [0] * 1_000_000
        self.assertEqual(deploy.check([1] + digits[1:], digits), (99.99, 999_999))

    def test_ctrl_c_is_no_traceback(self):
        with patch("deploy.load", side_effect=KeyboardInterrupt):
            status, _, errors = self.main(deploy.main, 1, 2)
        self.assertEqual((status, errors), (130, "interrupted\n"))

    def test_bad_arguments_get_a_sentence(self):
        binary = self.folder / "binary"
        binary.write_bytes(b"\xff\x00\xfe")
        for function, words, *arguments in (
            (self.deploy, "required: INTEGER", 1),
            (self.deploy, "arguments: 3", 1, 2, 3),
            (self.deploy, "-5 is negative", -5, 3),
            (self.deploy, "INTEGER", 3, "-0x5"),
            (self.deploy, "'abc' is not an integer", "abc", 3),
            (self.deploy, "'1e5' is not an integer", "1e5", 3),
            (self.deploy, "'1__0' is not an integer", "1__0", 3),
            (self.deploy, "tpu", 1, 2, "--device", "tpu"),
            (self.deploy, "--nonsense", 1, 2, "--nonsense"),
            (self.deploy, "its part is 1, not 2", 1, 2, "--part", 2),
            (self.deploy, "Part 1 adds any length", 2**16, 1, "--part", 2),
            (self.deploy, "nowhere", "@nowhere"),
            (self.deploy, "", f"@{binary}"),
            (self.deploy, "does not exist", 1, 2, "--model", self.folder / "no.pt"),
            (self.train, "--epochs", "--epochs", 0),
            (self.train, "--seed", "--seed", -1),
            (self.train, "binary", "--out", binary),  # which is no folder
            (self.train, "binary", "--out", binary / "below"),
        ):
            with self.subTest(arguments):
                status, output, errors = function(*arguments)
                self.assertEqual((status, output), (2, ""))
                self.assertRegex(errors, r"(?s)\Ausage: .*\nscript.py: error: .+\Z")
                self.assertIn(words, errors.partition("error: ")[2])

    def test_an_earlier_model_is_kept(self):
        path = self.folder / "part1.pt"
        path.write_bytes(b"earlier")
        status, output, _ = self.train("--epochs", 1)
        self.assertEqual(status, 0)
        kept = re.search(r"is kept as (.*\.pt)", output)[1]
        self.assertEqual(Path(kept).read_bytes(), b"earlier")
        models.load(path, 1)

    def test_the_best_epoch_is_saved_even_if_ctrl_c_ends_the_training(self):
        def train(**arguments):
            yield from (0.5, 0.3, 0.4)
            if interrupted:
                raise KeyboardInterrupt

        path = self.folder / "part1.pt"
        for interrupted, expected_status in ((False, 0), (True, 130)):
            with patch("train_part1.train", train):
                status, output, errors = self.train("--epochs", 3)
            self.assertEqual(status, expected_status)
            self.assertEqual("interrupted" in errors, interrupted)
            saved = re.findall(r"^epoch .*loss (\S+) .*  saved$", output, re.M)
            self.assertEqual(saved, ["5.00e-01", "3.00e-01"])
            self.assertIn(f"wrote {path}, loss 3.00e-01\n", output)
            self.assertEqual(self.files(), {"part1.pt", "part1_loss.png"})
            checkpoint = models.load(path, 1)[1]
            self.assertEqual((checkpoint["epoch"], checkpoint["loss"]), (2, 0.3))
            for name in self.files():
                (self.folder / name).unlink()

    def test_a_plot_that_cannot_be_written_is_an_error_and_the_model_stays(self):
        (self.folder / "part1_loss.png").mkdir()
        status, output, errors = self.train("--epochs", 1)
        self.assertEqual(status, 2)
        self.assertIn("part1_loss.png: ", errors)
        self.assertIn("wrote", output)
        models.load(self.folder / "part1.pt", 1)

    def test_whatever_goes_wrong_is_a_sentence_and_status_2(self):
        """Status 1 is for certify.py alone, and for what is not proven."""
        for error in (UserError("x"), OSError(28, "x"), BrokenPipeError(),
                      MemoryError(), KeyError("x"),
                      RuntimeError("can't start new thread")):
            def fail():
                with patch.multiple(sys, **streams):
                    with models.user_errors(argparse.ArgumentParser()):
                        raise error

            for closed in ((), ("stdout",), ("stderr",), ("stdout", "stderr")):
                streams = {"argv": ["script.py"], **dict.fromkeys(closed)}
                status, output, errors = self.main(fail)
                self.assertEqual((status, output), (2, ""))
                self.assertNotIn("Traceback", errors)
                if type(error) is RuntimeError and "stderr" not in closed:
                    self.assertIn("thread (test_binadd.py, line ", errors)

    def test_an_error_names_the_last_place_in_our_files(self):
        for path, place in (("proof/theirs.py", "theirs.py, line 1"),
                            ("venv/lib/site-packages/x.py", "test_binadd.py, line ")):
            code = compile("raise KeyError('x')", HERE / path, "exec")
            def fail():
                with models.user_errors(argparse.ArgumentParser()):
                    exec(code)

            status, _, errors = self.main(fail)
            self.assertEqual(status, 2)
            self.assertIn(f"KeyError: 'x' ({place}", errors)

    def test_a_copy_that_fails_names_what_it_writes(self):
        def fail():
            with models.user_errors(argparse.ArgumentParser()):
                raise OSError(28, "no space", "from.py", None, "to.py")

        status, _, errors = self.main(fail)
        self.assertEqual(status, 2)
        self.assertIn("error: to.py: ", errors)

    @unittest.skipIf(os.name == "nt", "Windows sends no SIGINT to one process")
    def test_ctrl_c_in_a_terminal_keeps_the_model_and_the_plot(self):
        command = [sys.executable, HERE / "train_part1.py", "--out", self.folder]
        pipe = subprocess.PIPE
        heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True,
                                   preexec_fn=heed)  # also if the tests run with &
        for line in process.stdout:
            if line.startswith("epoch   2"):
                break
        os.kill(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=900)
        self.assertEqual(process.returncode, 130)
        self.assertNotIn("Traceback", errors)
        self.assertEqual(self.files(), {"part1.pt", "part1_loss.png"})

    def test_output_that_is_cut_off_gives_no_error(self):
        numbers, path = self.folder / "numbers", self.folder / "part1.pt"
        models.save(SynchronousAdder(10, 0.1), path, 1, 0.7, 5)
        numbers.write_text(2 * f"{2**200_000:#x} ", encoding="utf-8")
        command = [sys.executable, HERE / "deploy.py", f"@{numbers}", "--model", path]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
            process.stdout.readline()
            process.stdout.close()  # as head -1 does
            self.assertEqual(process.stderr.read(), "")

    def test_small_encodings_can_show_everything(self):
        for name in ("train_part1.py", "train_part2.py", "deploy.py"):
            main = functools.partial(runpy.run_path, HERE / name, run_name="__main__")
            status, output, errors = self.main(main, "--help")
            self.assertEqual((status, errors), (0, ""))
            self.assertTrue(output.isascii(), name)
        models.save(SynchronousAdder(10, 0.1), self.folder / "²é.pt", 1, 0.7, 5)
        added = script("deploy.py", 1, 2, "--model", "²é.pt", folder=self.folder,
                       PYTHONIOENCODING="ascii")
        self.assertEqual((added.returncode, added.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main()
