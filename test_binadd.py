"""The tests: python -m unittest. Python's `+` is the oracle. About a minute on two cores."""

import contextlib
import csv
import errno
import importlib.util
import io
import json
import os
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock
import zipfile
from fractions import Fraction
from pathlib import Path

import torch

import certify
import deploy
import models
import train_part1
from dataset import BinaryAddition, to_digits, to_integer
from models import CheckpointError, SynchronousAdder

HERE = Path(__file__).parent
SHIPPED = {part: HERE / "pretrained" / f"part{part}.pt" for part in (1, 2)}
EXAMPLE = """\
input 1   0,0,1,0,1,1,0,1,0 = 180
input 2   1,1,1,0,1,0,0,0,0 = 23
output    1,1,0,1,0,0,1,1,0 = 203
exact     1,1,0,1,0,0,1,1,0 = 203
accuracy  100.00 % (9 of 9 digits)
"""

torch.set_num_threads(1)


def script(name, *arguments, folder=HERE):
    """Run a script as a user does. Returns the finished process, with its output as text."""
    command = [sys.executable, str(HERE / name), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=170)


def batch(pairs, length, order="lowest"):
    """Inputs (B, T, 2) and exact sums (B, T) for pairs of Python integers."""
    inputs = [[to_digits(a, length, order), to_digits(b, length, order)] for a, b in pairs]
    sums = [to_digits(a + b, length, order) for a, b in pairs]
    return torch.tensor(inputs).transpose(1, 2).float(), torch.tensor(sums)


def digits_of(model, inputs):
    with torch.no_grad():
        return (model(inputs) > 0).int()


class TemporaryFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)


class Digits(unittest.TestCase):
    def test_worked_example(self):
        self.assertEqual(to_digits(180, 9), [0, 0, 1, 0, 1, 1, 0, 1, 0])
        self.assertEqual(to_digits(23, 9), [1, 1, 1, 0, 1, 0, 0, 0, 0])
        self.assertEqual(to_digits(180), [0, 0, 1, 0, 1, 1, 0, 1])
        self.assertEqual(to_digits(180, order="highest"), [1, 0, 1, 1, 0, 1, 0, 0])
        self.assertEqual(to_digits(23, 7, "highest"), [0, 0, 1, 0, 1, 1, 1])
        self.assertEqual(to_integer([1, 1, 0, 1, 0, 0, 1, 1, 0]), 203)
        self.assertEqual(to_digits(0), [0])

    def test_every_integer_to_8_bits_both_ways(self):
        for n in range(256):
            highest = [int(digit) for digit in f"{n:b}"]
            self.assertEqual(to_digits(n, order="highest"), highest)
            self.assertEqual(to_digits(n), highest[::-1])
            for order in ("lowest", "highest"):
                for length in (None, 8, 11):
                    self.assertEqual(to_integer(to_digits(n, length, order), order), n)

    def test_thousands_of_bits_both_ways(self):
        generator = random.Random(0)
        for bits in (1, 63, 64, 65, 1000, 5000, 20_000):
            n = generator.getrandbits(bits) | 1 << (bits - 1)
            self.assertEqual(to_digits(n), [n >> place & 1 for place in range(bits)])
            for order in ("lowest", "highest"):
                self.assertEqual(to_integer(to_digits(n, bits + 3, order), order), n)

    def test_what_is_no_number_is_refused(self):
        for wrong in (True, False, 1.0, "1", None, [1]):
            with self.assertRaises(TypeError, msg=repr(wrong)):
                to_digits(wrong)
        for wrong in ([True], [1.0], ["1"], [None]):
            with self.assertRaises(TypeError, msg=repr(wrong)):
                to_integer(wrong)
        for wrong in ([2], [-1], [0, 1, 256], [10**30], []):
            with self.assertRaises(ValueError, msg=repr(wrong)):
                to_integer(wrong)
        with self.assertRaisesRegex(ValueError, "negative"):
            to_digits(-1)
        with self.assertRaisesRegex(ValueError, "too short: the number has 3 binary digits"):
            to_digits(4, 2)
        with self.assertRaisesRegex(TypeError, "length"):
            to_digits(4, True)
        for call in (lambda: to_digits(1, order="up"), lambda: to_integer([1], "up"), lambda: BinaryAddition(order="up")):
            with self.assertRaisesRegex(ValueError, "order"):
                call()


class Data(unittest.TestCase):
    def samples(self, count, seed=0, **arguments):
        torch.manual_seed(seed)
        data = BinaryAddition(size=count, **arguments)
        return [data[index] for index in range(count)]

    def test_every_sum_is_exact_and_has_room_for_the_carry(self):
        for order in ("lowest", "highest"):
            for arguments in ({}, {"skewed": 0}, {"runs": 0.5}, {"full": 1.0, "max_digits": 32}, {"length": 17}):
                for inputs, sums in self.samples(200, order=order, **arguments):
                    self.assertEqual((inputs.shape, sums.dtype), ((len(sums), 2), torch.float32))
                    a, b = (to_integer(digits, order) for digits in inputs.int().T.tolist())
                    self.assertEqual(to_integer(sums.int().tolist(), order), a + b)
                    top = inputs[-1 if order == "lowest" else 0]
                    self.assertEqual(top.tolist(), [0, 0])  # at least one zero pads both

    def test_lengths_are_1_to_16_and_zero_comes_up(self):
        samples = self.samples(5000)
        self.assertEqual({len(sums) for _, sums in samples}, set(range(2, 18)))
        values = [[to_integer(digits) for digits in inputs.int().T.tolist()] for inputs, _ in samples]
        self.assertTrue(any(a == 0 for a, _ in values) and any(b == 0 for _, b in values))
        self.assertTrue(any(a.bit_length() == 16 and b.bit_length() < 3 for a, b in values))
        self.assertLess(max(map(max, values)), 2**16)

    def test_every_access_draws_anew_and_a_seed_fixes_it(self):
        data = BinaryAddition(length=17, full=1.0)
        torch.manual_seed(1)
        first, second = data[0][0], data[0][0]
        self.assertFalse(torch.equal(first, second))
        torch.manual_seed(1)
        self.assertTrue(torch.equal(data[5][0], first))

    def test_one_by_one_and_batched_have_the_same_distribution(self):
        arguments = {"length": 17, "skewed": 0.5, "runs": 0.25, "full": 0.3}
        torch.manual_seed(0)
        data = BinaryAddition(size=20_000, **arguments)
        inputs = torch.stack([data[index][0] for index in range(20_000)]), data.__getitems__(range(20_000))[0]
        statistics = []
        for digits in inputs:
            columns = digits.sum(2)
            statistics.append(torch.stack((*(columns == value for value in (0, 1, 2)), digits[..., 0] == 1)).float().mean(1))
        # A share of 20,000 samples has a standard error of 0.0035 at most, a difference of two 0.005.
        self.assertLess((statistics[0] - statistics[1]).abs().max().item(), 0.025)

    def test_collation_pads_with_leading_zeros_of_the_same_sum(self):
        for order in ("lowest", "highest"):
            data = BinaryAddition(order=order)
            samples = self.samples(50, order=order)
            inputs, sums = data.collate(samples)
            longest = max(len(digits) for _, digits in samples)
            self.assertEqual((inputs.shape, sums.shape), ((50, longest, 2), (50, longest)))
            for row, (sample_inputs, sample_sums) in enumerate(samples):
                for padded, digits in ((sums[row], sample_sums), (inputs[row, :, 0], sample_inputs[:, 0])):
                    self.assertEqual(to_integer(padded.int().tolist(), order), to_integer(digits.int().tolist(), order))

    def test_loader_makes_100_batches_of_128(self):
        data = BinaryAddition()
        batches = list(torch.utils.data.DataLoader(data, batch_size=128, collate_fn=data.collate))
        self.assertEqual([len(sums) for _, sums in batches], [128] * 100)
        self.assertEqual({inputs.shape[1] for inputs, _ in batches}, {17})

    def test_workers_do_not_repeat_each_other(self):
        data = BinaryAddition(size=8 * 16, length=17, full=1.0, skewed=0.0)
        loader = torch.utils.data.DataLoader(data, batch_size=16, collate_fn=data.collate, num_workers=2)
        rows = torch.cat([inputs for inputs, _ in loader]).flatten(1)
        self.assertEqual(len(torch.unique(rows, dim=0)), len(rows))

    def test_skewed_samples_have_long_carries(self):
        def longest_runs(skewed):  # of columns 0 + 1 or 1 + 0, through which a carry travels
            return [max(map(len, re.findall("1*", "".join(str(int(n)) for n in inputs.sum(1))))) for inputs, _ in self.samples(2000, full=1.0, skewed=skewed)]

        fair, skewed = (sum(run >= 12 for run in longest_runs(share)) for share in (0.0, 1.0))
        self.assertGreater(skewed, 10 * fair + 100)

    def test_senseless_arguments_are_refused(self):
        for wrong in ({"size": 0}, {"max_digits": 0}, {"max_digits": 63}, {"length": 16}, {"full": 1.5}, {"skewed": -0.1}, {"runs": 2}):
            with self.assertRaises(ValueError, msg=repr(wrong)):
                BinaryAddition(**wrong)
        with self.assertRaises(IndexError):
            BinaryAddition(size=10)[10]


class Part1Network(unittest.TestCase):
    def setUp(self):
        self.model, self.checkpoint = models.load(SHIPPED[1], 1)

    def test_it_is_the_assignments_and_loads_into_a_plain_rnn(self):
        rnn, output = torch.nn.RNN(2, 10, nonlinearity="relu", batch_first=True), torch.nn.Linear(10, 1)
        weights = self.checkpoint["state_dict"]
        rnn.load_state_dict({name[4:]: weight for name, weight in weights.items() if name.startswith("rnn.")})
        output.load_state_dict({name[7:]: weight for name, weight in weights.items() if name.startswith("output.")})
        inputs, sums = batch([(180, 23), (0, 0), (2**40 - 1, 1)], 42)
        self.assertTrue(torch.equal((output(rnn(inputs)[0])[..., 0] > 0).int(), sums.int()))

    def test_causality(self):
        torch.manual_seed(0)
        model = SynchronousAdder().eval()
        inputs = torch.randint(2, (1, 20, 2)).float()
        with torch.no_grad():
            before = model(inputs)[0]
            for place in (0, 7, 19):
                changed = inputs.clone()
                changed[0, place, 0] = 1 - changed[0, place, 0]
                after = model(changed)[0]
                self.assertTrue(torch.equal(before[:place], after[:place]))
                self.assertNotEqual(before[place], after[place])
        # The carry of digit 0 reaches the last digit, in the trained network.
        carried, not_carried = batch([(2**19 - 1, 1), (2**19 - 1, 0)], 20)[0].split(1)
        self.assertEqual([digits_of(self.model, inputs)[0, 19].item() for inputs in (carried, not_carried)], [1, 0])

    def test_every_pair_to_8_bits(self):
        inputs, sums = batch([(a, b) for a in range(256) for b in range(256)], 9)
        self.assertTrue(torch.equal(digits_of(self.model, inputs), sums.int()))

    def test_long_carries(self):
        bits = 2000
        ones, alternating, rare = 2**bits - 1, (4 ** (bits // 2) - 1) // 3, sum(1 << place for place in range(0, bits, 97))
        cases = [(ones, 1), (1, ones), (ones, ones), (ones, 0), (0, 0), (0, 1), (alternating, 2 * alternating), (alternating, 2 * alternating + 1),
                 (alternating, alternating), (rare, ones), (rare, rare), (1 << (bits - 1), 1 << (bits - 1)), (ones - rare, rare + 1)]  # fmt: skip
        inputs, sums = batch(cases, bits + 1)
        self.assertTrue(torch.equal(digits_of(self.model, inputs), sums.int()))

    def test_a_long_sum_in_pieces(self):
        n = random.Random(1).getrandbits(10_000)
        a, b, expected = to_digits(n, 10_001), to_digits(2**10_000 - 1, 10_001), to_digits(n + 2**10_000 - 1, 10_001)
        self.assertGreater(len(a), 2 * deploy.CHUNK)
        self.assertEqual(deploy.add(self.model, a, b), expected)

    def test_noise_only_while_training(self):
        model = SynchronousAdder(noise=0.3)
        inputs = torch.ones(4, 17, 2)
        self.assertFalse(torch.equal(model(inputs), model(inputs)))
        model.eval()
        self.assertTrue(torch.equal(model(inputs), model(inputs)))

    def test_the_recurrent_matrix_stays_of_rank_one(self):
        model = SynchronousAdder()
        model(torch.ones(2, 5, 2)).sum().backward()
        torch.optim.SGD(model.parameters(), lr=0.1).step()
        values = torch.linalg.svdvals(model.rnn.weight_hh_l0.detach().double())
        self.assertLess(values[1], 1e-6 * values[0])


class Checkpoints(TemporaryFolder):
    def test_saved_and_loaded_networks_agree(self):
        torch.manual_seed(0)
        for model in (SynchronousAdder(), SynchronousAdder(7, constrained=False)):
            path = self.folder / "part1.pt"
            models.save(model.eval(), path, 3, 0.25, 9)
            loaded, checkpoint = models.load(path, 1)
            inputs = torch.randint(2, (8, 20, 2)).float()
            self.assertTrue(torch.allclose(model(inputs), loaded(inputs), atol=1e-6))
            self.assertEqual([checkpoint[key] for key in ("part", "epoch", "loss", "seed")], [1, 3, 0.25, 9])
            self.assertEqual(list(self.folder.iterdir()), [path])

    def test_every_wrong_checkpoint_gets_a_sentence(self):
        good = torch.load(SHIPPED[1], weights_only=True)
        weights = good["state_dict"]
        name = "rnn.weight_hh_l0"

        def changed(tensor):
            return {**good, "state_dict": {**weights, name: tensor}}

        class Attack:
            def __reduce__(self):
                return os.system, ("touch attacked",)

        nan = weights[name].clone()
        nan[3, 3] = float("nan")
        cases = {
            "a list": [1, 2], "an empty dict": {}, "bare weights": weights, "other part": {**good, "part": 2},
            "text for hidden": {**good, "hidden": "10"}, "true for hidden": {**good, "hidden": True}, "huge": {**good, "hidden": 10**9},
            "other size": {**good, "hidden": 11}, "no seed": {key: good[key] for key in good if key != "seed"},
            "a weight less": {**good, "state_dict": {key: weights[key] for key in weights if key != name}},
            "a weight more": {**good, "state_dict": {**weights, "extra": nan}}, "a number": changed(3.0), "nan": changed(nan),
            "infinity": changed(weights[name] * float("inf")), "shape": changed(weights[name][:9]), "double": changed(weights[name].double()),
            "sparse": changed(weights[name].to_sparse()), "expanded": changed(torch.zeros(1).expand(10, 10**9)), "code": Attack(), "loss": {**good, "loss": None},
        }  # fmt: skip
        for case, content in cases.items():
            with self.subTest(case):
                path = self.folder / "wrong.pt"
                torch.save(content, path)
                with self.assertRaises(CheckpointError) as caught:
                    models.load(path, 1)
                self.assertRegex(str(caught.exception), r"^\S.*wrong\.pt .*\.$")
        self.assertFalse(Path("attacked").exists())

    def test_every_wrong_file_gets_a_sentence(self):
        whole = SHIPPED[1].read_bytes()
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 1
        (self.folder / "link").symlink_to("nowhere")
        files = {
            "empty": b"", "text": b"hello", "random": random.Random(0).randbytes(5000), "cut": whole[:-1], "half": whole[: len(whole) // 2],
            "flipped": bytes(flipped), "pickle": pickle.dumps({"part": 1}), "huge": bytes(models.LARGEST_FILE + 1),
        }  # fmt: skip
        for name, content in files.items():
            (self.folder / name).write_bytes(content)
        with zipfile.ZipFile(self.folder / "bomb", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("archive/data.pkl", bytes(10**8))
        with zipfile.ZipFile(SHIPPED[1]) as archive, zipfile.ZipFile(self.folder / "marked", "w") as copy:  # one weight as a folder
            for entry in archive.infolist():
                entry.external_attr |= 0x10 * entry.filename.endswith("data/1")
                copy.writestr(entry, archive.read(entry))
        for name in (*files, "bomb", "marked", "link", "missing", "."):
            with self.subTest(name), self.assertRaises(CheckpointError):
                models.load(self.folder / name, 1)

    def test_a_failed_save_leaves_what_was_there(self):
        path = self.folder / "file"
        models.write_whole(path, lambda file: file.write(b"old"))
        with unittest.mock.patch("os.fsync", side_effect=OSError(errno.ENOSPC, "disk full")), self.assertRaises(OSError) as caught:
            models.write_whole(path, lambda file: file.write(b"new"))
        self.assertEqual(caught.exception.filename, str(path))
        self.assertEqual(path.read_bytes(), b"old")
        self.assertEqual(list(self.folder.iterdir()), [path])

    def test_what_a_killed_process_left_is_swept(self):
        path = self.folder / "file"
        left, young = self.folder / "file.123.tmp", self.folder / "file.124.tmp"
        left.touch()
        young.touch()  # by a process that is writing now
        os.utime(left, (0, 0))
        models.write_whole(path, lambda file: file.write(b"new"))
        self.assertEqual(set(self.folder.iterdir()), {path, young})


class Part2Network(unittest.TestCase):
    def setUp(self):
        self.model, self.checkpoint = models.load(SHIPPED[2], 2)

    def assert_right(self, pairs):
        inputs, sums = batch(pairs, 17, "highest")
        wrong = (digits_of(self.model, inputs) != sums).any(1)
        self.assertEqual([pair for pair, is_wrong in zip(pairs, wrong) if is_wrong], [])

    def test_it_is_the_assignments(self):
        shapes = {name: tuple(weight.shape) for name, weight in self.checkpoint["state_dict"].items()}
        self.assertEqual(shapes, {"rnn.weight_ih_l0": (100, 2), "rnn.weight_hh_l0": (100, 100), "rnn.bias_ih_l0": (100,), "rnn.bias_hh_l0": (100,),
                                  "output.weight": (1, 100), "output.bias": (1,)})  # fmt: skip
        self.assertEqual((self.model.rnn.nonlinearity, self.model.rnn.num_layers, self.model.rnn.bidirectional), ("relu", 1, False))

    def test_it_reads_everything_before_it_answers(self):
        """The logits are those of a plain nn.RNN that is fed with all pairs, then as many zeros, read out after each zero."""
        rnn, output = torch.nn.RNN(2, 100, nonlinearity="relu"), torch.nn.Linear(100, 1)
        weights = self.checkpoint["state_dict"]
        rnn.load_state_dict({name[4:]: weight for name, weight in weights.items() if name.startswith("rnn.")})
        output.load_state_dict({name[7:]: weight for name, weight in weights.items() if name.startswith("output.")})
        inputs, _ = batch([(180, 23)], 17, "highest")
        with torch.no_grad():
            _, state = rnn(inputs[0])  # all that is left of the numbers
            logits = []
            for _ in range(17):
                states, state = rnn(torch.zeros(1, 2), state)
                logits.append(output(states[0]).item())
            self.assertTrue(torch.allclose(torch.tensor(logits), self.model(inputs)[0], atol=1e-4))

    def test_the_last_pair_changes_the_first_answer(self):
        inputs, _ = batch([(0xFFFF, 0), (0xFFFF, 1)], 17, "highest")
        self.assertTrue(torch.equal(inputs[0, :16], inputs[1, :16]))
        self.assertEqual(digits_of(self.model, inputs)[:, 0].tolist(), [0, 1])

    def test_every_pair_to_6_bits(self):
        self.assert_right([(a, b) for a in range(64) for b in range(64)])

    def test_worst_cases(self):
        ones = 0xFFFF
        runs = [(ones >> high & ~((1 << low) - 1), 1 << low) for high in range(16) for low in range(16 - high)]
        spoilt = [(a ^ (1 << place), b) for a, b in runs for place in range(16)]
        self.assert_right(runs + [(b, a) for a, b in runs] + spoilt + [(a, ones) for a, _ in spoilt] + [(0, 0), (ones, ones), (0x5555, 0xAAAA), (0xAAAA, 0xAAAA)])

    def test_random_full_length_pairs(self):
        generator = random.Random(4)
        self.assert_right([(generator.getrandbits(16), generator.getrandbits(16)) for _ in range(5000)])

    def test_rings_are_shift_registers(self):
        torch.manual_seed(0)
        matrix = models.rings(100, 17)
        self.assertEqual(int((matrix > 0.5).sum()), 85)
        state = torch.zeros(100)
        state[20] = 1.0
        for step in range(17):
            self.assertEqual(state.argmax().item(), 17 + (3 + step) % 17)
            state = (matrix > 0.5).float() @ state
        self.assertEqual(state.argmax().item(), 20)

    def test_input_weights_stay_tied(self):
        model = models.DelayedAdder(hidden=34)
        model(torch.randint(2, (4, 17, 2)).float()).sum().backward()
        torch.optim.SGD(model.parameters(), lr=0.1).step()
        self.assertTrue(torch.equal(model.rnn.weight_ih_l0[:, 0], model.rnn.weight_ih_l0[:, 1]))

    def test_exhaustion_agrees_with_the_network(self):
        """On every 6561st beginning, against the deployed network on real pairs; and it finds planted faults."""
        wrong, worst = certify.exhaust(self.checkpoint["state_dict"], every=6561)
        self.assertEqual(wrong, 0)
        self.assertEqual(len(worst), 3)
        for margin, columns in worst:
            a, b = certify.as_pair(columns)
            inputs, sums = batch([(a, b)], 17, "highest")
            self.assertEqual((inputs.sum(2)[0, 1:]).int().tolist(), list(columns))
            with torch.no_grad():
                self.assertAlmostEqual((self.model(inputs) * (2 * sums - 1)).min().item(), margin, places=2)
        faulty = {**self.checkpoint["state_dict"], "output.bias": self.checkpoint["state_dict"]["output.bias"] + worst[0][0] + 8}
        wrong, worst = certify.exhaust(faulty, every=6561)
        self.assertGreater(wrong, 0)
        self.assertLess(worst[0][0], 0)
        a, b = certify.as_pair(worst[0][1])
        model = models.DelayedAdder(constrained=False).eval()
        model.load_state_dict(faulty)
        inputs, sums = batch([(a, b)], 17, "highest")
        self.assertFalse(torch.equal(digits_of(model, inputs), sums.int()))

    def test_the_evidence_speaks_of_the_shipped_networks(self):
        for part, name in ((1, "certificate_part1.txt"), (2, "certificate_part2.txt")):
            fingerprint = models.fingerprint(models.load(SHIPPED[part], part)[1]["state_dict"])
            text = (HERE / "experiments" / name).read_text()
            self.assertIn(f"weights {fingerprint[:16]}", text)
            self.assertIn("\nproven " if part == 1 else "\nwrong     0 of the 43046721 sums", text)
        for part in (1, 2):
            with open(HERE / "experiments" / f"part{part}_sweep.csv", newline="") as file:
                shipped = [row["weights"] for row in csv.DictReader(file) if row["seed"] == "0" and row.get("variant", "default") == "default"]
            self.assertEqual(shipped, [models.fingerprint(models.load(SHIPPED[part], part)[1]["state_dict"])[:16]])


class Certificate(unittest.TestCase):
    def setUp(self):
        self.weights = models.load(SHIPPED[1], 1)[1]["state_dict"]

    def adder(self, gain=2.0, leak=0.0, sign=1.0):
        """An adder made by hand, from n = x1 + x2 + carry: next carry relu(gain (n - 1.5) + 0.5) - relu(gain (n - 1.5) - 0.5),
        digit n - 2 carries. With gain 2 the carry is clipped to 0 or 1, with gain 1 it is as strong as before, and a
        leak adds up. With sign -1 the memory is 1 - carry, so that 0, the start, stands for a carry: a + b + 1.
        """
        slope = torch.tensor([1.0, gain, gain, 0.0])
        start = torch.tensor([0.0, 0.5 - 1.5 * gain, -0.5 - 1.5 * gain, 1.0])
        memory = sign * torch.tensor([0.0, 1.0, -1.0, 0.0]) * (1 - leak) + torch.tensor([0.0, 0.0, 0.0, float(sign < 0)])
        return {
            "rnn.weight_ih_l0": slope[:, None].repeat(1, 2), "rnn.weight_hh_l0": torch.outer(sign * slope, memory),
            "rnn.bias_ih_l0": start + (sign < 0) * slope, "rnn.bias_hh_l0": torch.zeros(4),
            "output.weight": torch.tensor([[1.0, -2.0, 2.0, 0.0]]), "output.bias": torch.tensor([-0.5]),
        }  # fmt: skip

    def changed(self, name, place, value, weights=None):
        weights = {key: weight.clone() for key, weight in (weights or self.weights).items()}
        weights[name][place] = value
        return weights

    def wrong_digits(self, weights, length=7):
        """By brute force, over all digit streams of this length."""
        streams = torch.cartesian_prod(*[torch.arange(4)] * length)
        pairs = torch.stack((streams >> 1, streams & 1), 2)
        return int((digits_of(self.network(weights), pairs.float()) != certify.exact_digits(pairs)).sum())

    def network(self, weights):
        model = SynchronousAdder(len(weights["rnn.bias_ih_l0"]), constrained=False).eval()
        model.load_state_dict(weights)
        return model

    def test_the_shipped_network_is_proven(self):
        proven, intervals, rows = certify.prove(self.weights)
        self.assertTrue(proven)
        self.assertEqual(len(rows), 8)
        (low_0, high_0), (low_1, high_1) = intervals
        self.assertTrue(high_0 < low_1 or high_1 < low_0)
        self.assertIsNone(certify.find_counterexample(self.network(self.weights)))

    def test_an_adder_made_by_hand_is_proven(self):
        self.assertTrue(certify.prove(self.adder())[0])
        self.assertEqual(self.wrong_digits(self.adder()), 0)

    def test_networks_that_pass_short_tests_are_refused_with_a_counterexample(self):
        leaking = self.adder(gain=1.0, leak=0.0007)  # after 990 steps less than half of the carry is left
        growing = self.changed("rnn.weight_hh_l0", (slice(None), 2), 0.0, self.adder())  # carries pile up
        growing["output.weight"] = torch.tensor([[1.0, -2.0, 2.0, 0.0]])
        self.assertEqual(self.wrong_digits(leaking), 0)
        for weights, least in ((leaking, 900), (growing, 0), (self.adder(sign=-1.0), 0)):
            self.assertFalse(certify.prove(weights)[0])
            a, b, place = certify.find_counterexample(self.network(weights))
            self.assertGreaterEqual(place, least)
            inputs, sums = batch([(a, b)], max(a.bit_length(), b.bit_length()) + 1)
            wrong = digits_of(self.network(weights), inputs) != sums
            self.assertEqual(wrong[0].int().argmax().item(), place)

    def test_a_plus_b_plus_1_is_what_it_says(self):
        inputs, sums = batch([(180, 22), (0, 0), (1023, 1023)], 11)
        _, plus_1 = batch([(180, 23), (0, 1), (1023, 1024)], 11)
        self.assertTrue(torch.equal(digits_of(self.network(self.adder(sign=-1.0)), inputs), plus_1.int()))

    def test_a_carry_without_error_correction_is_refused(self):
        # Exact in real numbers, but nothing pulls a rounding error back: no proof for any length in float32.
        weights = self.adder(gain=1.0)
        self.assertEqual(self.wrong_digits(weights), 0)
        self.assertFalse(certify.prove(weights)[0])

    def test_mutants_are_refused(self):
        flipped = {key: -weight if key == "output.weight" else weight for key, weight in self.weights.items()}
        full_rank = {**self.weights, "rnn.weight_hh_l0": self.weights["rnn.weight_hh_l0"] + 0.5 * torch.eye(10)}
        forgetful = {**self.weights, "rnn.weight_hh_l0": torch.zeros(10, 10)}
        biased = self.changed("output.bias", 0, 50.0)
        for mutant in (flipped, full_rank, forgetful, biased):
            proven, _, rows = certify.prove(mutant)
            self.assertFalse(proven)
            self.assertTrue(any(not row.holds for row in rows))

    def test_nan_and_infinity_are_refused(self):
        for value in (float("nan"), float("inf")):
            with self.assertRaises(ValueError):
                certify.prove(self.changed("rnn.bias_ih_l0", 0, value))

    def test_verdicts_agree_with_brute_force(self):
        torch.manual_seed(0)
        verdicts = []
        for trial in range(60):
            scale = (0.05, 0.3, 1.0)[trial % 3]
            base = self.weights if trial % 2 else self.adder()
            weights = {name: weight + scale * torch.randn_like(weight) for name, weight in base.items() if name != "rnn.weight_hh_l0"}
            u, v = certify.split(base["rnn.weight_hh_l0"].tolist())
            u, v = (torch.tensor(vector) + scale * torch.randn(len(vector)) for vector in (u, v))
            weights["rnn.weight_hh_l0"] = torch.outer(u, v)
            verdicts.append((certify.prove(weights)[0], self.wrong_digits(weights) == 0))
        self.assertNotIn((True, False), verdicts)  # what is proven makes no mistake
        self.assertGreater(verdicts.count((True, True)), 5)
        self.assertGreater(verdicts.count((False, False)), 5)

    def test_a_wrong_interval_is_refused_however_small_the_error(self):
        weights = certify.exact(self.weights)
        _, intervals, rows = certify.prove(self.weights)
        tried = 0
        for index, row in enumerate(rows):
            for end, inward in ((0, Fraction(1, 10**30)), (1, Fraction(-1, 10**30))):
                cut = [list(map(Fraction, interval)) for interval in intervals]
                for _ in range(8):  # up to the image, which moves a little: smaller states have smaller rounding errors
                    cut[row.target][end] = certify.check(weights, cut)[index].image[end]
                    if not cut[0][0] < 0 < cut[0][1]:
                        break
                else:
                    if row.carry != row.target:  # else the cut moves the image too
                        tried += 1
                        cut[row.target][end] -= inward
                        self.assertTrue(certify.check(weights, cut)[index].stays)
                        cut[row.target][end] += 2 * inward
                        self.assertFalse(certify.check(weights, cut)[index].stays)
        self.assertGreaterEqual(tried, 2)
        for wrong in ([(Fraction(1, 10**30), 1), intervals[1]], [intervals[0], (1, 0)]):
            with self.assertRaises(ValueError):
                certify.check(weights, wrong)

    def test_the_slack_covers_float32(self):
        """The state of the network, as torch computes it, stays in the exact images of the check."""
        _, intervals, rows = certify.prove(self.weights)
        v = certify.split(certify.exact(self.weights)["rnn.weight_hh_l0"])[1]
        model, state, carry = self.network(self.weights), None, 0
        generator = random.Random(0)
        for _ in range(300):
            x = generator.choice(certify.PAIRS)
            row = next(row for row in rows if (row.carry, row.pair) == (carry, x))
            with torch.no_grad():
                logit, state = model.advance(torch.tensor([[x]]).float(), state)
            s = certify.dot(v, map(Fraction, state.flatten().tolist()))
            self.assertTrue(row.image[0] <= s <= row.image[1])
            self.assertTrue(row.logits[0] <= Fraction(logit.item()) <= row.logits[1])
            carry = row.target


class Training(TemporaryFolder):
    def train(self, seed=0, epochs=2, name="part1.pt", **arguments):
        torch.manual_seed(seed)
        model, data, held_out, adam = train_part1.part1()
        data.size = 256  # two steps an epoch
        with contextlib.redirect_stdout(io.StringIO()) as output:
            losses = train_part1.train(model, data, held_out, adam, self.folder / name, epochs, seed, **arguments)
        return losses, output.getvalue()

    def test_same_seed_same_weights(self):
        for name, seed in (("a", 1), ("b", 1), ("c", 2)):
            self.train(seed=seed, name=name)
        prints = [models.fingerprint(models.load(self.folder / name, 1)[1]["state_dict"]) for name in "abc"]
        self.assertEqual(prints[0], prints[1])
        self.assertNotEqual(prints[0], prints[2])

    def test_the_saved_model_is_the_one_of_the_best_epoch(self):
        losses, output = self.train(epochs=12)
        checkpoint = models.load(self.folder / "part1.pt", 1)[1]
        self.assertEqual(len(losses), 12)
        self.assertEqual((checkpoint["loss"], checkpoint["epoch"]), (min(losses), losses.index(min(losses)) + 1))
        lines = output.splitlines()
        self.assertEqual(len(lines), 12)
        best = float("inf")
        for loss, line in zip(losses, lines):
            self.assertEqual(line.endswith("saved"), loss < best)
            best = min(best, loss)
            self.assertRegex(line, r"^epoch +\d+/12  loss \d\.\d\de[-+]\d\d  digits +\d+\.\d\d %  sums +\d+\.\d\d %  \d+\.\d\d s  \d+ s to go")

    def test_what_is_saved_is_the_average_of_the_weights(self):
        torch.manual_seed(0)
        model, data, held_out, adam = train_part1.part1()
        data.size = 256  # two steps
        seen = []
        with contextlib.redirect_stdout(io.StringIO()):
            train_part1.train(model, data, held_out, adam, self.folder / "part1.pt", 1, stopped=lambda: seen.append(torch.nn.utils.parameters_to_vector(model.parameters()).detach()))
        first, second = seen[1], torch.nn.utils.parameters_to_vector(model.parameters()).detach()  # after the first step, and at the end
        self.assertFalse(torch.equal(first, second))
        expected = models.SynchronousAdder()
        torch.nn.utils.vector_to_parameters(first / 11 + second * 10 / 11, expected.parameters())
        saved = models.load(self.folder / "part1.pt", 1)[0]
        for name in models.WEIGHTS:
            self.assertTrue(torch.allclose(models._weight(saved, name), models._weight(expected, name), atol=1e-6), name)

    def test_a_loss_that_is_not_finite_stops_the_training(self):
        model, data, held_out, _ = train_part1.part1()
        data.size = 128
        with torch.no_grad():
            model.output.bias.fill_(float("nan"))
        with self.assertRaisesRegex(FloatingPointError, "loss of epoch 1 is nan"):
            train_part1.train(model, data, held_out, {"lr": 1e-2}, self.folder / "part1.pt", epochs=2)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_it_stops_when_asked_and_keeps_the_best(self):
        asked = []
        losses, _ = self.train(epochs=50, stopped=lambda: asked.append(1) or len(asked) > 5)  # in the third epoch
        self.assertEqual(len(losses), 2)
        self.assertEqual(models.load(self.folder / "part1.pt", 1)[1]["loss"], min(losses))

    def test_evaluation_counts_digits_and_whole_sums(self):
        class PlusOne(torch.nn.Module):
            def forward(self, inputs):
                value = (inputs.sum(2) * 2 ** torch.arange(inputs.shape[1])).sum(1).long()[:, None] + 1
                return ((value >> torch.arange(inputs.shape[1])) & 1) - 0.5

        inputs, sums = batch([(0, 0), (1, 0), (3, 0), (4, 4)], 5)  # a + b + 1 gets 1, 2, 3, 1 digits wrong
        digits, exact = train_part1.evaluate(PlusOne(), inputs, sums)
        self.assertAlmostEqual(digits, 13 / 20)
        self.assertEqual(exact, 0)


class Notebook(TemporaryFolder):
    def test_it_is_stored_executed_without_errors(self):
        cells = [cell for cell in json.loads((HERE / "binadd.ipynb").read_text())["cells"] if cell["cell_type"] == "code"]
        self.assertTrue(all(cell["execution_count"] for cell in cells))
        text = "".join("".join(output.get("text", "")) for cell in cells for output in cell["outputs"])
        self.assertFalse(any(output["output_type"] == "error" for cell in cells for output in cell["outputs"]))
        self.assertNotIn("Traceback", text)
        self.assertIn("epoch 100/100", text)
        self.assertIn("proven    every digit", text)
        self.assertEqual(text.count("accuracy  100.00 %"), 10)

    @unittest.skipUnless(importlib.util.find_spec("nbclient") and importlib.util.find_spec("ipykernel"), "nbclient or ipykernel is missing")
    def test_it_runs_from_top_to_bottom(self):
        import nbformat
        from nbclient import NotebookClient

        for name in ("dataset", "models", "train_part1", "train_part2", "deploy", "certify", "cli"):
            shutil.copy(HERE / f"{name}.py", self.folder)
        notebook = nbformat.read(HERE / "binadd.ipynb", 4)
        with unittest.mock.patch.dict(os.environ, {"BINADD_EPOCHS": "2"}):
            NotebookClient(notebook, timeout=170, resources={"metadata": {"path": str(self.folder)}}).execute()
        self.assertEqual({path.name for path in (self.folder / "runs").iterdir()}, {"part1.pt", "part1_loss.png", "carry_line.png", "part2.pt", "part2_loss.png"})


class WithExperiments(unittest.TestCase):
    def setUp(self):
        sys.path.insert(0, str(HERE / "experiments"))
        self.addCleanup(sys.path.remove, str(HERE / "experiments"))


class Report(WithExperiments):
    def test_lstm_derivation(self):
        """The report's formulas, as code, against autograd."""
        import lstm_bptt

        for seed in range(3):
            differences = lstm_bptt.compare(seed=seed)
            self.assertEqual(len(differences), 8)
            self.assertLess(max(differences.values()), 1e-10)

    def test_the_tables_are_those_of_the_measurements(self):
        import tables

        for path in tables.TEXTS:
            text = path.read_text()
            self.assertEqual(tables.refresh(text), text, f"{path.name} is out of date; run: python experiments/tables.py")
        report = tables.TEXTS[1].read_text()
        for make in tables.TABLES:
            self.assertIn(make(), report)


class Faults(WithExperiments):
    """A few tries of each check in experiments/faults.py that is fast; the table in experiments/faults.csv is of thousands."""

    def setUp(self):
        super().setUp()
        random.seed(0)

    def test_checkpoints(self):
        import faults

        for check in (faults.damage_checkpoints(step=50), faults.strange_checkpoints(tries=100)):
            problems = list(check)
            self.assertGreater(len(problems), 90)
            self.assertEqual([problem for problem in problems if problem], [])

    @unittest.skipUnless(hasattr(os, "fork"), "needs os.fork")
    def test_a_killed_save_tears_nothing(self):
        import faults

        self.assertEqual([problem for problem in faults.kill_saving(tries=20) if problem], [])

    def test_arguments(self):
        import faults

        self.assertEqual([problem for problem in faults.fuzz_arguments(tries=300) if problem], [])

    def test_the_table_has_no_failures(self):
        with open(HERE / "experiments" / "faults.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([row["check"] for row in rows if row["failed"] != "0"], [])
        self.assertGreater(sum(int(row["tries"]) for row in rows), 10_000)


class Device(unittest.TestCase):
    """What can be known about CUDA without a GPU. On the device "meta" tensors have no values: reading one, or mixing it with one of the CPU, fails."""

    def test_forward_and_backward_stay_on_their_device(self):
        for model in (SynchronousAdder(), models.DelayedAdder()):
            model.to("meta").train()
            inputs = torch.zeros(4, 17, 2, device="meta")
            loss = torch.nn.functional.binary_cross_entropy_with_logits(model(inputs), torch.zeros(4, 17, device="meta"))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            self.assertEqual({parameter.grad.device.type for parameter in model.parameters()}, {"meta"})

    def test_the_loss_is_read_once_an_epoch(self):
        model, data, held_out, adam = train_part1.part1()
        data.size = 128 * 5
        item, reads = torch.Tensor.item, []
        with (
            tempfile.TemporaryDirectory() as folder,
            unittest.mock.patch("train_part1.evaluate", lambda *_: (0, 0)),
            unittest.mock.patch("torch.Tensor.item", lambda tensor: reads.append(tensor.dtype) or item(tensor)),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            train_part1.train(model, data, held_out, adam, Path(folder, "part1.pt"), epochs=3)
        self.assertEqual(reads.count(torch.float32), 3)  # the DataLoader reads an integer, its seed

    def test_choice(self):
        with unittest.mock.patch("torch.cuda.is_available", lambda: True):
            self.assertEqual([models.choose_device(name).type for name in ("auto", "cuda", "cpu")], ["cuda", "cuda", "cpu"])
        with unittest.mock.patch("torch.cuda.is_available", lambda: False):
            self.assertEqual([models.choose_device(name).type for name in ("auto", "cpu")], ["cpu", "cpu"])
            with self.assertRaisesRegex(ValueError, "no CUDA device"):
                models.choose_device("cuda")
        self.assertFalse(torch.backends.cudnn.allow_tf32)

    def test_a_checkpoint_of_a_gpu_opens_without_one(self):
        """torch.load is told to map to the CPU, and saved tensors are on it."""
        with tempfile.TemporaryDirectory() as folder:
            model = models.load(SHIPPED[1], 1)[0]
            models.save(model, Path(folder, "part1.pt"), 1, 0.5, 0)
            with unittest.mock.patch("torch.load", wraps=torch.load) as load:
                models.load(Path(folder, "part1.pt"), 1)
        self.assertEqual(load.call_args.kwargs, {"map_location": "cpu", "weights_only": True})

    @unittest.skipUnless(torch.cuda.is_available(), "no CUDA device")
    def test_cuda_agrees_with_the_cpu(self):
        for part, order in ((1, "lowest"), (2, "highest")):
            model = models.load(SHIPPED[part], part)[0]
            inputs, sums = batch([(a, b) for a in range(64) for b in range(64)], 17, order)
            with torch.no_grad():
                self.assertTrue(torch.allclose(model.to("cuda")(inputs.to("cuda")).cpu(), model.to("cpu")(inputs), atol=1e-3))


class Scripts(TemporaryFolder):
    def test_the_scripts_in_a_users_order(self):
        trained = script("train_part1.py", "--epochs", 1, "--seed", 5, folder=self.folder)
        self.assertEqual((trained.returncode, trained.stderr), (0, ""))
        self.assertEqual(len(re.findall("^epoch", trained.stdout, re.M)), 1)
        self.assertEqual({path.name for path in (self.folder / "runs").iterdir()}, {"part1.pt", "part1_loss.png"})
        self.assertEqual((self.folder / "runs/part1_loss.png").read_bytes()[:4], b"\x89PNG")

        added = script("deploy.py", 180, 23, folder=self.folder)
        lines = added.stdout.splitlines()
        self.assertEqual((added.returncode, added.stderr, len(lines)), (0, "", 6))
        self.assertTrue(lines[0].startswith("model     runs/part1.pt: Part 1, 10 ReLU units, seed 5"))
        right = sum(a == b for a, b in zip(lines[3].split()[1].split(","), lines[4].split()[1].split(",")))
        self.assertEqual(lines[5], f"accuracy  {10_000 * right // 9 / 100:.2f} % ({right} of 9 digits)")

        models.save(SynchronousAdder(), self.folder / "untrained.pt", 1, 0.7, 5)
        unproven = script("certify.py", "--model", "untrained.pt", folder=self.folder)
        self.assertEqual((unproven.returncode, unproven.stderr), (1, ""))
        self.assertIn("not proven", unproven.stdout)
        counterexample = re.search(r"^python deploy\.py (0x\S+) (0x\S+)$", unproven.stdout, re.M)
        wrong = script("deploy.py", *counterexample.groups(), "--model", "untrained.pt", folder=self.folder)
        self.assertEqual(wrong.returncode, 0)
        self.assertNotIn("100.00 %", wrong.stdout)

        proven = script("certify.py", "--model", SHIPPED[1], folder=self.folder)
        self.assertEqual((proven.returncode, proven.stderr), (0, ""))
        self.assertIn("\nproven ", proven.stdout)
        self.assertTrue((self.folder / "runs/carry_line.png").exists())

    def deployed(self, *arguments):
        """deploy.main() in this process: its status, output and errors."""
        with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())) as output, contextlib.redirect_stderr(io.StringIO()) as errors:
            before = sys.argv, signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGPIPE)
            sys.argv = ["deploy.py", *map(str, arguments)]
            try:
                status = deploy.main()
            except SystemExit as stop:
                status = stop.code
            finally:
                sys.argv = before[0]
                signal.signal(signal.SIGINT, before[1])
                signal.signal(signal.SIGPIPE, before[2])
        output.seek(0)
        return status, output.read(), errors.getvalue()

    def test_worked_example_from_a_fresh_clone(self):
        added = script("deploy.py", 180, 23, "--model", SHIPPED[1])
        self.assertEqual((added.returncode, added.stderr), (0, ""))
        first, rest = added.stdout.split("\n", 1)
        self.assertIn("proven", first)
        self.assertEqual(rest, EXAMPLE)

    def test_part_2_writes_highest_digits_first_and_refuses_long_numbers(self):
        status, output, errors = self.deployed("--part", 2, 180, 23, "--model", SHIPPED[2])
        self.assertEqual((status, errors), (0, ""))
        self.assertIn("input 1   0,0,0,0,0,0,0,0,0,1,0,1,1,0,1,0,0 = 180\n", output)
        self.assertIn("output    0,0,0,0,0,0,0,0,0,1,1,0,0,1,0,1,1 = 203\n", output)
        self.assertIn("accuracy  100.00 % (17 of 17 digits)", output)
        status, output, errors = self.deployed("--part", 2, 2**16, 1)
        self.assertEqual((status, output), (2, ""))
        self.assertRegex(errors, "memory is sized for 16.*Part 1 adds any length")
        for part in (1, 2):
            status, _, errors = self.deployed("--part", part, 1, 1, "--model", SHIPPED[3 - part])
            self.assertEqual(status, 2)
            self.assertIn(f"it says that it is of Part {3 - part}", errors)

    def test_integers_of_every_kind(self):
        for a, b in (("0", "0"), ("0xfF", "0b1"), ("0o17", "1_000"), ("007", "+1"), (hex(2**3000 - 1), "1"), (str(10**5000), "0x1")):
            status, output, errors = self.deployed(a, b, "--model", SHIPPED[1])
            self.assertEqual((status, errors), (0, ""))
            expected = (int(a, 0) if a != "007" else 7) + int(b, 0)
            self.assertEqual([line.rpartition(" = ")[2] for line in output.splitlines()[3:5]], [str(expected)] * 2)
            self.assertIn("accuracy  100.00 %", output)

    def test_random_pairs(self):
        model = models.load(SHIPPED[1], 1)[0]
        generator = random.Random(2)
        for _ in range(200):
            a, b = (generator.getrandbits(generator.randint(1, 300)) for _ in range(2))
            length = max(a.bit_length(), b.bit_length(), 1) + 1
            self.assertEqual(to_integer(deploy.add(model, to_digits(a, length), to_digits(b, length))), a + b)

    def test_arguments_from_a_file(self):
        n = 1 << 499_999 | random.Random(3).getrandbits(499_999)
        numbers = self.folder / "numbers.txt"
        numbers.write_text(f"{n:#x}\n\n1\n")
        status, output, errors = self.deployed(f"@{numbers}", "--model", SHIPPED[1])
        self.assertEqual((status, errors), (0, ""))
        self.assertEqual(output.splitlines()[5], "accuracy  100.00 % (500001 of 500001 digits)")

    def test_accuracy_is_100_only_for_a_wholly_right_sum(self):
        digits = [0] * 1_000_000
        self.assertEqual(deploy.check(digits, digits), (100.0, 1_000_000))
        self.assertEqual(deploy.check([1] + digits[1:], digits), (99.99, 999_999))
        self.assertEqual(deploy.check([0, 1, 1], [0, 1, 0]), (66.66, 2))

    def test_bad_arguments_get_one_sentence_at_once(self):
        binary, itself = self.folder / "binary", self.folder / "itself"
        binary.write_bytes(b"\xff\xfe\x00")
        itself.write_text(f"@{itself}")
        cases = [(), (1,), (1, 2, 3), ("-5", 3), (3, "-0x5"), ("abc", 3), ("1.5", 3), ("", 3), ("1e5", 3), ("0x", 3), ("0b2", 3), ("1__0", 3), ("٣", 3),
                 (1, 2, "--part", 3), (1, 2, "--device", "tpu"), (1, 2, "--nonsense"), (1, 2, "--model"), ("@nowhere",), (f"@{binary}",), (f"@{itself}",),
                 (f"@{self.folder}", 1), (1, 2, "--device", "cuda") if not torch.cuda.is_available() else ("x",),
                 (1, 2, "--model", "nowhere.pt"), (1, 2, "--model", self.folder), (1, 2, "--model", HERE / "README.md")]  # fmt: skip
        for arguments in cases:
            with self.subTest(arguments):
                status, output, errors = self.deployed(*arguments)
                self.assertEqual((status, output), (2, ""))
                self.assertRegex(errors, r"\Adeploy\.py: [^\n]+\n\Z")

    def without_torch(self, name, arguments):
        """Run a script where torch cannot be imported."""
        code = f"import sys, runpy; sys.modules['torch'] = None; sys.argv = {[name, *arguments]}; runpy.run_path({name!r}, run_name='__main__')"
        return subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True, timeout=60)

    def test_torch_is_not_imported_for_help_and_bad_arguments(self):
        for name, arguments in (("deploy.py", ["--help"]), ("deploy.py", ["x", "1"]), ("train_part1.py", ["--help"]), ("train_part1.py", ["--epochs", "0"]),
                                ("train_part1.py", ["--seed", "-1"]), ("certify.py", ["--help"]), ("certify.py", ["--part", "3"])):  # fmt: skip
            run = self.without_torch(name, arguments)
            self.assertEqual(run.returncode, 0 if "--help" in arguments else 2, run.stderr)
            self.assertNotIn("Traceback", run.stderr)

    def test_without_torch_a_sentence_says_what_to_do(self):
        for name, arguments in (("deploy.py", ["1", "2"]), ("train_part1.py", ["--out", str(self.folder)]), ("certify.py", [])):
            run = self.without_torch(name, arguments)
            self.assertEqual((run.returncode, run.stderr), (2, f"{name}: torch is not installed; run: pip install -r requirements.txt\n"))

    def test_a_folder_that_cannot_be_written_is_found_before_training(self):
        (self.folder / "file").write_text("")
        (self.folder / "taken" / "part1.pt").mkdir(parents=True)
        for out in ("file", "file/below", "taken"):
            run = script("train_part1.py", "--out", self.folder / out)
            self.assertEqual((run.returncode, run.stdout), (2, ""))
            self.assertRegex(run.stderr, r"\Atrain_part1\.py: cannot write to [^\n]+\n\Z")

    def test_ctrl_c_keeps_the_best_model_and_draws_the_plot(self):
        command = [sys.executable, str(HERE / "train_part1.py"), "--out", str(self.folder)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for line in process.stdout:
            if line.startswith("epoch   2"):
                break
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)  # an impatient user
        _, errors = process.communicate(timeout=100)
        self.assertEqual(process.returncode, 130)
        self.assertNotIn("Traceback", errors)
        self.assertEqual({path.name for path in self.folder.iterdir()}, {"part1.pt", "part1_loss.png"})
        models.load(self.folder / "part1.pt", 1)


if __name__ == "__main__":
    unittest.main()
