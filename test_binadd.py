"""Tests of the assignment's files: python -m unittest. Python's + is the oracle.

Tests of what lies beyond these files are in test_proof.py. A test that needs a file
that is not here, such as a trained network in pretrained/, is skipped by name.
"""

import contextlib
import io
import itertools
import os
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
from pathlib import Path

import torch
from torch.utils import data as torch_data
from torch.utils.data import DataLoader

import deploy
import models
import train_part1
import train_part2
from dataset import BinaryAddition, to_digits, to_integer
from models import DelayedAdder, SynchronousAdder, UserError

HERE = Path(__file__).absolute().parent
SHIPPED = {part: HERE / "pretrained" / f"part{part}.pt" for part in (1, 2)}
SEVEN = ("dataset.py", "models.py", "train_part1.py", "train_part2.py", "deploy.py",
         "test_binadd.py")
EXAMPLE = """\
input 1   0,0,1,0,1,1,0,1,0 = 180
input 2   1,1,1,0,1,0,0,0,0 = 23
output    1,1,0,1,0,0,1,1,0 = 203
exact     1,1,0,1,0,0,1,1,0 = 203
accuracy  100.00 % (9 of 9 digits)
"""
needs_shipped = unittest.skipUnless(
    SHIPPED[1].exists() and SHIPPED[2].exists(), "needs the folder pretrained"
)

torch.set_num_threads(1)


def script(name, *arguments, folder, home=HERE, **environment):
    """Finished process of a script, run in a folder, with its output as text."""
    name = str(home / name) if name.endswith(".py") else name
    return subprocess.run([sys.executable, name, *map(str, arguments)], cwd=folder,
                          env={**os.environ, **environment}, capture_output=True,
                          text=True, encoding="utf-8", errors="replace", timeout=170)


def batch(pairs, length, order="lowest", dtype=torch.float32):
    """Inputs (B, T, 2) and exact sums (B, T) for pairs of Python integers."""
    inputs = [[to_digits(n, length, order) for n in pair] for pair in pairs]
    sums = [to_digits(sum(pair), length, order) for pair in pairs]
    return torch.tensor(inputs, dtype=dtype).transpose(1, 2), torch.tensor(sums)


def digits_of(model, inputs):
    with torch.no_grad():
        return (model(inputs) > 0).int()


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
        output, errors = io.StringIO(), io.StringIO()
        with (
            unittest.mock.patch("sys.argv", ["script.py", *map(str, arguments)]),
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(errors),
        ):
            try:
                status = function()
            except SystemExit as stop:
                status = stop.code
        return status, output.getvalue(), errors.getvalue()


class Digits(unittest.TestCase):
    def test_worked_example(self):
        self.assertEqual(to_digits(180, 9), [0, 0, 1, 0, 1, 1, 0, 1, 0])
        self.assertEqual(to_digits(23, 9), [1, 1, 1, 0, 1, 0, 0, 0, 0])
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
                    digits = to_digits(n, length, order)
                    self.assertEqual(to_integer(digits, order), n)

    def test_thousands_of_bits(self):
        for bits in (63, 64, 65, 5000, 20_000):
            n = random.Random(bits).getrandbits(bits) | 1 << (bits - 1)
            self.assertEqual(to_digits(n), [n >> place & 1 for place in range(bits)])
            self.assertEqual(to_integer(to_digits(n, bits + 3)), n)

    def test_what_is_not_a_number_is_refused(self):
        for wrong in (True, False, 1.0, "1", None, [1]):
            with self.assertRaises(TypeError, msg=repr(wrong)):
                to_digits(wrong)
        for wrong in ([True], [1.0], ["1"], [None]):
            with self.assertRaises(TypeError, msg=repr(wrong)):
                to_integer(wrong)
        for wrong in ([2], [-1], [0, 1, 256], [10], []):
            with self.assertRaises(ValueError, msg=repr(wrong)):
                to_integer(wrong)
        with self.assertRaisesRegex(ValueError, "negative"):
            to_digits(-1)
        with self.assertRaisesRegex(ValueError, "too short: the number has 3"):
            to_digits(4, 2)
        with self.assertRaisesRegex(TypeError, "length"):
            to_digits(4, True)
        for call in (to_digits, lambda n, order: to_integer([n], order)):
            with self.assertRaisesRegex(ValueError, "order"):
                call(1, order="up")


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
        for order, arguments in itertools.product(
            ("lowest", "highest"),
            (
                {},
                {"runs": 0.5},
                {"min_digits": 62, "max_digits": 62},
                {"length": 20},
                {"max_digits": 1},
            ),
        ):
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

    def test_default_arguments_draw_fair_digits(self):
        inputs, _ = next(iter(DataLoader(BinaryAddition(min_digits=16), 12_800)))
        shares = [(inputs.sum(2)[:, :16] == n).float().mean().item() for n in range(3)]
        for share, fair in zip(shares, (0.25, 0.5, 0.25)):
            self.assertAlmostEqual(share, fair, delta=0.01)  # 9 standard errors

    def test_every_access_draws_anew_and_a_seed_fixes_it(self):
        data = BinaryAddition(min_digits=16)
        torch.manual_seed(1)
        first, second = data[0][0], data[0][0]
        self.assertFalse(torch.equal(first, second))
        torch.manual_seed(1)
        self.assertTrue(torch.equal(data[5][0], first))

    def test_one_by_one_and_batched_have_the_same_distribution(self):
        size = 20_000
        arguments = {"length": 17, "runs": 0.25, "min_digits": 3}
        data = BinaryAddition(size, **arguments)
        statistics = []
        for samples in (list(data), data.__getitems__(range(size))):
            digits = torch.stack([inputs for inputs, _ in samples])
            counts = [digits.sum(2) == n for n in range(3)] + [digits[..., 0] == 1]
            statistics.append(torch.stack(counts).float().mean(1))
        # A share has a standard error of 0.0035 at most, a difference of two 0.005.
        self.assertLess((statistics[0] - statistics[1]).abs().max().item(), 0.025)

    def test_an_epoch_is_100_batches_of_128(self):
        batches = list(DataLoader(BinaryAddition(), batch_size=128))
        self.assertEqual([len(sums) for _, sums in batches], [128] * 100)

    def test_every_kind_of_loader(self):
        data = BinaryAddition(size=60)
        first, second = torch_data.random_split(data, [40, 20])
        weighted = torch_data.WeightedRandomSampler(torch.rand(60), 30)
        loaders = (
            DataLoader(data, batch_size=4, shuffle=True),
            DataLoader(data, batch_size=7, drop_last=True),
            DataLoader(data, batch_size=8, sampler=weighted),
            DataLoader(torch_data.Subset(data, [3, 1, 4, 1, 5]), batch_size=2),
            DataLoader(first, batch_size=16),
            DataLoader(second, batch_size=None),
        )
        for loader in loaders[:-1]:
            self.assert_sums(loader)
        for inputs, sums in loaders[-1]:
            self.assert_sums([(inputs[None], sums[None])])
        for one, other in zip(loaders[0], loaders[1]):  # in turn
            self.assert_sums([one, other])

    def test_a_collation_of_ones_own(self):
        loader = DataLoader(BinaryAddition(), 4, collate_fn=list)
        self.assertEqual([len(sample) for sample in next(iter(loader))], [2] * 4)

    def test_workers_do_not_repeat_each_other(self):
        data = BinaryAddition(size=8 * 16, min_digits=16)
        for method in torch.multiprocessing.get_all_start_methods():
            if method in ("spawn", "fork"):
                loader = DataLoader(
                    data, 16, num_workers=2, multiprocessing_context=method
                )
                batches = list(loader)
                self.assert_sums(batches)
                rows = torch.cat([inputs for inputs, _ in batches]).flatten(1)
                self.assertEqual(len(torch.unique(rows, dim=0)), len(rows))

    def test_arguments_may_change_in_mid_epoch(self):
        data = BinaryAddition(size=80, length=17)
        batches = iter(DataLoader(data, batch_size=40))
        self.assertEqual(next(batches)[1].shape, (40, 17))
        data.min_digits = data.max_digits = 30
        inputs, sums = next(batches)
        self.assertEqual(sums.shape, (40, 31))
        self.assert_sums([(inputs, sums)])
        data.max_digits = 63
        with self.assertRaisesRegex(ValueError, "max_digits <= 62"):
            data[0]

    def test_runs_are_long_carries(self):
        def long_runs(**arguments):  # of columns through which a carry travels
            data = BinaryAddition(2000, min_digits=16, **arguments)
            inputs, _ = next(iter(DataLoader(data, 2000)))
            columns = ("".join(map(str, row)) for row in inputs.sum(2).int().tolist())
            return sum("1" * 12 in row for row in columns)

        self.assertGreater(long_runs(runs=1.0), 10 * long_runs() + 100)

    def test_senseless_arguments_are_refused(self):
        for wrong in (
            {"size": 0},
            {"min_digits": 0},
            {"max_digits": 63},
            {"min_digits": 9, "max_digits": 8},
            {"runs": -0.1},
            {"runs": 2},
            {"order": "up"},
        ):
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
        before = model(inputs)[0]
        for place in (0, 7, 19):
            changed = inputs.clone()
            changed[0, place, 0] = 1 - changed[0, place, 0]
            after = model(changed)[0]
            self.assertTrue(torch.equal(before[:place], after[:place]))
            self.assertNotEqual(before[place], after[place])

    def test_part_1_reads_a_long_input_in_pieces(self):
        model = SynchronousAdder(10, 0.1).eval()
        inputs = torch.randint(2, (2, 50, 2)).float()
        whole = model(inputs)
        with unittest.mock.patch("models.PIECE", 7):
            self.assertTrue(torch.allclose(model(inputs), whole, atol=1e-6))

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

    def test_noise_only_while_training(self):
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
        order = "lowest" if part == 1 else "highest"
        inputs, sums = batch(pairs, length, order, model.precision)
        wrong = (digits_of(model, inputs) != sums).any(1)
        self.assertEqual([pair for pair, bad in zip(pairs, wrong) if bad], [])

    def test_part_1_every_pair_to_8_bits(self):
        self.assert_right(1, list(itertools.product(range(256), repeat=2)), 9)

    def test_part_1_long_carries(self):
        bits = 2000
        ones, rare = 2**bits - 1, sum(1 << place for place in range(0, bits, 97))
        third = ones // 3  # digits 1, 0, 1, 0, ...
        pairs = [
            (ones, 1),
            (1, ones),
            (ones, ones),
            (ones, 0),
            (0, 0),
            (third, 2 * third),
            (third, 2 * third + 1),
            (third, third),
            (rare, ones),
            (rare, rare),
            (1 << (bits - 1), 1 << (bits - 1)),
            (ones - rare, rare + 1),
        ]
        self.assert_right(1, pairs, bits + 1)

    def test_part_2_every_pair_to_6_bits(self):
        self.assert_right(2, list(itertools.product(range(64), repeat=2)), 17)

    def test_part_2_runs_that_end_in_a_carry(self):
        ones = 0xFFFF
        runs = [
            (ones >> high & ~((1 << low) - 1), 1 << low)
            for high in range(16)
            for low in range(16 - high)
        ]
        spoilt = [(a ^ (1 << place), b) for a, b in runs for place in range(16)]
        pairs = [*runs, *spoilt, *((a, ones) for a, _ in spoilt), (0x5555, 0xAAAA)]
        self.assert_right(2, pairs + [(b, a) for a, b in pairs], 17)

    def test_part_2_the_last_pair_changes_the_first_answer(self):
        self.assert_right(2, [(0xFFFF, 0), (0xFFFF, 1)], 17)

    def test_they_load_into_a_plain_rnn(self):
        for part, hidden in ((1, 10), (2, 100)):
            _, checkpoint = models.load(SHIPPED[part], part)
            rnn = torch.nn.RNN(2, hidden, nonlinearity="relu", batch_first=True)
            weights = checkpoint["state_dict"].items()
            rnn.load_state_dict({k[4:]: v for k, v in weights if k.startswith("rnn.")})

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

    def assert_refused(self, path, pattern="part1"):
        with self.assertRaises(UserError) as caught:
            models.load(path, 1)
        self.assertRegex(str(caught.exception), pattern)
        self.assertRegex(str(caught.exception), r"^\S.*\.$")

    def test_saved_and_loaded_networks_agree(self):
        for hidden, constrained in ((10, True), (7, False)):
            model = SynchronousAdder(hidden, 0.1, constrained)
            models.save(model.eval(), self.path, 3, 0.25, 9)
            loaded, checkpoint = models.load(self.path, 1)
            inputs = torch.randint(2, (8, 20, 2)).float()
            self.assertTrue(torch.allclose(model(inputs), loaded(inputs), atol=1e-6))
            self.assertEqual(checkpoint["seed"], 9)
            self.assertEqual(list(self.folder.iterdir()), [self.path])

    def test_bare_weights_load(self):
        """What model.state_dict() gives, saved as it comes."""
        for part, network in models.MODELS.items():
            for constrained in (True, False):
                model = network(20, 0.1, constrained=constrained).eval()
                torch.save(model.state_dict(), self.path)
                loaded, checkpoint = models.load(self.path, part)
                inputs = torch.randint(2, (8, 17, 2)).float()
                expected, found = model(inputs), loaded.float()(inputs)
                self.assertTrue(torch.allclose(expected, found, atol=1e-5))
                self.assertNotIn("seed", checkpoint)
                self.assertEqual(set(checkpoint["state_dict"]), set(models.WEIGHTS))

    def test_files_without_a_hash_load(self):
        del self.content["sha256"]
        torch.save(self.content, self.path)
        models.load(self.path, 1)

    def test_other_content_gets_a_sentence(self):
        good, name = self.content, "rnn.weight_hh_l0"
        weights = good["state_dict"]

        def changed(tensor):
            return {**good, "state_dict": {**weights, name: tensor}}

        class Attack:
            def __reduce__(self):
                return os.system, ("touch attacked",)

        nan = weights[name].clone()
        nan[3, 3] = float("nan")
        for content in (
            [1, 2],
            {},
            {**good, "part": 2},
            {**good, "part": torch.ones(2)},
            {**good, "hidden": "10"},
            {**good, "hidden": 11},
            {**good, "state_dict": {}},
            {**good, "state_dict": {**weights, "extra": nan}},
            changed(3.0),
            changed(nan),
            changed(weights[name] * float("inf")),
            changed(weights[name][:9]),
            changed(weights[name].to_sparse()),
            changed(torch.zeros(1).expand(10, 10**9)),
            changed(weights[name] + 1),  # the hash finds it
            torch.nn.RNN(2, 10).state_dict(),
            {**weights, "rnn.weight_hh_l0": torch.zeros(30, 10)},  # a GRU's
            DelayedAdder(10, 0.05).state_dict(),
            Attack(),
        ):
            torch.save(content, self.path)
            self.assert_refused(self.path, r"part1\.pt")
        self.assertFalse(Path("attacked").exists())

    def test_other_files_get_a_sentence(self):
        whole = self.path.read_bytes()
        for content in (
            b"",
            b"hello",
            random.Random(0).randbytes(5000),
            whole[:-1],
            whole[: len(whole) // 2],
            pickle.dumps({"part": 1}),
            bytes(2**24 + 1),
        ):
            self.path.write_bytes(content)
            self.assert_refused(self.path)
        self.assert_refused(self.folder, "cannot be read")
        self.assert_refused(self.folder / "missing", "python train_part1.py trains")

    def test_a_flipped_bit_never_loads_another_network(self):
        whole, original = self.path.read_bytes(), models.fingerprint
        expected = original(self.content["state_dict"])
        generator = random.Random(0)
        for _ in range(400):
            flipped = bytearray(whole)
            flipped[generator.randrange(len(whole))] ^= 1 << generator.randrange(8)
            self.path.write_bytes(flipped)
            with contextlib.suppress(UserError):
                _, checkpoint = models.load(self.path, 1)
                self.assertEqual(original(checkpoint["state_dict"]), expected)

    def test_a_failed_write_leaves_what_was_there(self):
        before = self.path.read_bytes()
        with (
            unittest.mock.patch("os.replace", side_effect=PermissionError(13, "no")),
            unittest.mock.patch("time.sleep"),
            self.assertRaises(OSError),
        ):
            models.write_whole(self.path, b"new")
        self.assertEqual(self.path.read_bytes(), before)
        self.assertEqual(list(self.folder.iterdir()), [self.path])

    def test_a_replace_that_is_refused_once_is_tried_again(self):
        real, refused = os.replace, [PermissionError(13, "a scanner reads it")]

        def replace(*arguments):
            if refused:
                raise refused.pop()
            real(*arguments)

        with unittest.mock.patch("os.replace", replace):
            models.write_whole(self.path, b"new")
        self.assertEqual(self.path.read_bytes(), b"new")

    def test_two_processes_with_one_number_write_into_one_folder(self):
        with unittest.mock.patch("os.getpid", lambda: 7):
            handle, temporary = tempfile.mkstemp(prefix="part1.pt", dir=self.folder)
            models.write_whole(self.path, b"new")
            os.close(handle)
        self.assertEqual(self.path.read_bytes(), b"new")
        self.assertTrue(Path(temporary).exists())  # the other's, still being written


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

    def test_same_seed_same_weights(self):
        outputs = [self.trained(seed)[0].output.weight for seed in (1, 1, 2)]
        self.assertTrue(torch.equal(outputs[0], outputs[1]))
        self.assertFalse(torch.equal(outputs[0], outputs[2]))

    def test_averaging(self):
        """With recent=10 the second of two steps has a share of 10 in 11."""
        samples = BinaryAddition().__getitems__(range(128))
        vectors = []
        for data, epochs, recent in (
            (samples, 2, None),  # two epochs of one step
            (2 * samples, 1, None),  # one epoch of the same two steps
            (2 * samples, 1, 10),
        ):
            torch.manual_seed(0)
            model = SynchronousAdder(10, 0)
            adam = torch.optim.Adam(model.parameters(), 1e-2)
            for _ in train_part1.train(model, data, adam, None, recent, epochs):
                weights = torch.nn.utils.parameters_to_vector(model.parameters())
                vectors.append(weights.detach())
        first, second, same, average = vectors
        self.assertTrue(torch.equal(second, same))
        last = torch.nn.utils.parameters_to_vector(model.parameters())
        self.assertTrue(torch.equal(last, average))  # also after the last yield
        self.assertTrue(torch.allclose(average, (first + 10 * second) / 11, atol=1e-6))

    def test_a_loss_that_is_not_finite_stops_the_training(self):
        model = SynchronousAdder(10, 0.1)
        torch.nn.init.constant_(model.output.bias, float("nan"))
        with self.assertRaisesRegex(FloatingPointError, "another --seed"):
            self.trained(model=model)

    def test_evaluation_counts_digits_and_whole_sums(self):
        class PlusOne(torch.nn.Module):
            def forward(self, inputs):
                places = torch.arange(inputs.shape[1])
                totals = (inputs.sum(2).long() << places).sum(1, keepdim=True) + 1
                return (totals >> places & 1) - 0.5

        inputs, sums = batch([(0, 0), (1, 0), (3, 0), (4, 4)], 5)
        digits, exact = train_part1.evaluate(PlusOne(), inputs, sums)
        self.assertAlmostEqual(digits, 13 / 20)  # a + b + 1 gets 1, 2, 3, 1 wrong
        self.assertEqual(exact, 0)

    def test_device(self):
        torch.set_float32_matmul_precision("medium")
        os.environ["ONEDNN_DEFAULT_FPMATH_MODE"] = "BF16"
        for cuda, name, device in (
            (False, "auto", "cpu"),
            (False, "cpu", "cpu"),
            (True, "cpu", "cpu"),
        ):
            with unittest.mock.patch("torch.cuda.is_available", lambda: cuda):
                self.assertEqual(models.prepare_device(name).type, device)
        self.assertFalse(torch.backends.cudnn.allow_tf32)
        self.assertEqual(torch.get_float32_matmul_precision(), "highest")
        self.assertEqual(os.environ["ONEDNN_DEFAULT_FPMATH_MODE"], "STRICT")

    @unittest.skipIf(torch.cuda.is_available(), "needs a machine without CUDA")
    def test_a_gpu_that_cannot_be_used_gets_a_sentence(self):
        with unittest.mock.patch("torch.cuda.is_available", lambda: True):
            for name in ("auto", "cuda"):
                with self.assertRaisesRegex(UserError, "--device cpu"):
                    models.prepare_device(name)


class Scripts(TemporaryFolder):
    """The scripts as a user runs them, in a folder of their own."""

    def deploy(self, *arguments, part=1):
        """The same of deploy.py, with a network that is not trained."""
        path = self.folder / f"part{part}.pt"
        if not path.exists():
            models.save(models.MODELS[part](10, 0.0), path, 1, 0.7, 5)
        return self.main(deploy.main, "--part", part, "--model", path, *arguments)

    def train(self, *arguments):
        def main():
            return train_part1.run(1, train_part1.part1, "Train.")

        return self.main(main, "--out", self.folder, "--device", "cpu", *arguments)

    def files(self):
        return {path.name for path in self.folder.iterdir()}

    def test_the_seven_files_stand_alone(self):
        """Copied into an empty folder, they train, deploy and pass their tests."""
        for name in (*SEVEN, "README.md"):
            shutil.copy(HERE / name, self.folder)

        def run(*words):
            return script(*words, folder=self.folder, home=self.folder)

        trained = run("train_part1.py", "--epochs", 2)
        self.assertEqual((trained.returncode, trained.stderr), (0, ""))
        self.assertEqual(len(re.findall("^epoch", trained.stdout, re.M)), 2)
        plot = self.folder / "runs" / "part1_loss.png"
        self.assertEqual(plot.read_bytes()[:4], b"\x89PNG")
        added = run("deploy.py", 180, 23)
        lines = added.stdout.splitlines()
        self.assertEqual((added.returncode, added.stderr, len(lines)), (0, "", 6))
        start = f"model     {Path('runs', 'part1.pt')}: Part 1, 10 ReLU units, seed 0"
        self.assertTrue(lines[0].startswith(start), lines[0])
        output, exact = (line.split()[1].split(",") for line in lines[3:5])
        right = sum(a == b for a, b in zip(output, exact))
        percent = 10_000 * right // 9 / 100
        self.assertEqual(lines[5], f"accuracy  {percent:.2f} % ({right} of 9 digits)")

        trained = run("train_part2.py", "--epochs", 1)
        self.assertEqual((trained.returncode, trained.stderr), (0, ""))
        added = run("deploy.py", "--part", 2, 180, 23)
        self.assertEqual((added.returncode, added.stderr), (0, ""))
        self.assertIn("Part 2, 100 ReLU units, seed 0, epoch 1", added.stdout)

        tests = run("-m", "unittest", "test_binadd.Digits", "test_binadd.Shipped")
        self.assertEqual(tests.returncode, 0, tests.stderr)
        self.assertIn("skipped", tests.stderr)

    def test_nothing_beyond_is_imported(self):
        modules = ", ".join(Path(name).stem for name in SEVEN)
        code = f"import sys, {modules}; print(*sys.modules)"
        loaded = script("-c", code, folder=HERE)
        self.assertEqual((loaded.returncode, loaded.stderr), (0, ""))
        beyond = {"certify", "proof", "experiments", "report", "test_proof"}
        self.assertEqual(beyond & set(loaded.stdout.split()), set())

    @needs_shipped
    def test_worked_example(self):
        status, output, errors = self.main(deploy.main, 180, 23, "--model", SHIPPED[1])
        self.assertEqual((status, errors), (0, ""))
        self.assertEqual(output.split("\n", 1)[1], EXAMPLE)
        self.assertIn("(shipped; there is no", output)
        status, output, errors = self.main(
            deploy.main, 180, "--part", 2, 23, "--model", SHIPPED[2]
        )
        self.assertEqual((status, errors), (0, ""))
        self.assertIn("output    0,0,0,0,0,0,0,0,0,1,1,0,0,1,0,1,1 = 203\n", output)
        self.assertIn("accuracy  100.00 % (17 of 17 digits)", output)

    def test_integers_of_every_kind(self):
        pairs = (
            ("0", "0", 0),
            ("0xfF", "0b1", 256),
            ("0o17", "1_000", 1015),
            ("007", "+1", 8),
            ("1" + 5000 * "0", "1", 10**5000 + 1),
        )
        for a, b, total in pairs:
            status, output, errors = self.deploy(a, b)
            self.assertEqual((status, errors), (0, ""))
            shown = output.splitlines()[4].rpartition(" = ")[2]
            self.assertEqual(shown, str(total) if total < 10**9 else hex(total))

    def test_binary_without_its_prefix_gets_a_hint(self):
        status, output, errors = self.deploy("10110100", "10111")
        self.assertEqual(status, 0)
        self.assertIn("= 10120211\n", output)
        self.assertIn("write 0b10110100 0b10111", errors)

    def test_integers_from_a_file(self):
        path, text = self.folder / "numbers.txt", "180\n\n0x17\n"
        for encoding in ("utf-8", "utf-8-sig", "utf-16"):
            path.write_text(text, encoding=encoding)
            status, output, errors = self.deploy(f"@{path}")
            self.assertEqual((status, errors), (0, ""))
            self.assertTrue(output.splitlines()[4].endswith("= 203"))
        path.write_text("180 -5", encoding="utf-8")
        status, _, errors = self.deploy(f"@{path}")
        self.assertEqual(status, 2)
        self.assertIn("-5 is negative", errors)

    def test_accuracy_is_100_only_if_every_digit_is_right(self):
        digits = [0] * 1_000_000
        self.assertEqual(deploy.check(digits, digits), (100.0, 1_000_000))
        self.assertEqual(deploy.check([1] + digits[1:], digits), (99.99, 999_999))
        self.assertEqual(deploy.check([0, 1, 1], [0, 1, 0]), (66.66, 2))

    def test_bad_arguments_get_a_sentence(self):
        binary = self.folder / "binary"
        binary.write_bytes(b"\xff\x00\xfe")
        for arguments in (
            (),
            (1,),
            (1, 2, 3),
            (-5, 3),
            (3, "-0x5"),
            ("abc", 3),
            ("1.5", 3),
            ("", 3),
            ("1e5", 3),
            ("0x", 3),
            ("1__0", 3),
            ("-", 3),
            (1, 2, "--device", "tpu"),
            (1, 2, "--nonsense"),
            (1, 2, "--part", 2),  # with a network of Part 1
            ("@nowhere",),
            (f"@{binary}",),
            (f"@{self.folder}", 1),
            (1, 2, "--model", "-1.pt"),
            (1, 2, "--model", self.folder / "nowhere.pt"),
        ):
            with self.subTest(arguments):
                status, output, errors = self.deploy(*arguments)
                self.assertEqual((status, output), (2, ""))
                self.assertRegex(errors, r"(?s)\Ausage: .*\nscript.py: error: .+\n\Z")
        status, _, errors = self.deploy(2**16, 1, part=2)
        self.assertEqual(status, 2)
        self.assertIn("Part 1 adds any length", errors)
        for arguments in (("--epochs", 0), ("--epochs", "x"), ("--seed", -1)):
            self.assertEqual(self.train(*arguments)[:2], (2, ""))

    def test_a_folder_that_cannot_be_written_is_found_at_once(self):
        taken = self.folder / "file"
        taken.write_text("")
        for out in (taken, taken / "below"):
            status, output, errors = self.train("--out", out)
            self.assertEqual((status, output), (2, ""))
            self.assertIn("file", errors)
            self.assertNotIn("Traceback", errors)

    def test_an_earlier_model_is_kept(self):
        self.train("--epochs", 1)
        before = (self.folder / "part1.pt").read_bytes()
        status, output, _ = self.train("--epochs", 1, "--seed", 1)
        self.assertEqual(status, 0)
        kept = re.search(r"is kept as (.*\.pt)", output)[1]
        self.assertEqual(Path(kept).read_bytes(), before)
        self.assertNotEqual((self.folder / "part1.pt").read_bytes(), before)

    def test_the_saved_model_is_the_best_epochs(self):
        _, output, _ = self.train("--epochs", 6)
        losses = re.findall(r"^epoch .*loss (\S+)", output, re.M)
        losses = [float(loss) for loss in losses]
        lines = [line for line in output.splitlines() if " to go" in line]
        for epoch, line in enumerate(lines):
            best = losses[epoch] < min(losses[:epoch], default=9)
            self.assertEqual(line.endswith("saved"), best)
        checkpoint = models.load(self.folder / "part1.pt", 1)[1]
        self.assertEqual(f"{checkpoint['loss']:.2e}", f"{min(losses):.2e}")
        self.assertEqual(checkpoint["epoch"], losses.index(min(losses)) + 1)

    def test_a_picture_never_costs_a_model(self):
        broken = RuntimeError("latex could not be found")
        for patch in (
            unittest.mock.patch("train_part1.Figure", None),
            unittest.mock.patch("train_part1.plot", side_effect=broken),
        ):
            with patch, unittest.mock.patch("train_part1.no_plot", "no", create=True):
                status, output, errors = self.train("--epochs", 1)
            self.assertEqual(status, 0)
            self.assertIn("wrote", output)
            self.assertIn("no plot: ", errors)
            self.assertIn("part1.pt", self.files())
            self.assertNotIn("part1_loss.png", self.files())

    def test_any_backend_will_do(self):
        inline = "module://matplotlib_inline.backend_inline"  # a notebook's
        for backend in (inline, "Qt4Agg"):
            trained = script(
                "train_part1.py", "--epochs", 1, folder=self.folder, MPLBACKEND=backend
            )
            self.assertEqual(trained.returncode, 0, trained.stderr)
            plot = self.folder / "runs" / "part1_loss.png"
            self.assertNotEqual(plot.exists(), "no plot: " in trained.stderr)
            plot.unlink(missing_ok=True)

    def test_ctrl_c_keeps_the_best_model_and_draws_the_plot(self):
        real, epochs = train_part1.train, []

        def interrupted(**arguments):
            for loss in real(**arguments):
                epochs.append(loss)
                if len(epochs) == 3:
                    raise KeyboardInterrupt
                yield loss

        with unittest.mock.patch("train_part1.train", interrupted):
            status, _, errors = self.train("--epochs", 9)
        self.assertEqual((status, self.files()), (130, {"part1.pt", "part1_loss.png"}))
        self.assertIn("interrupted", errors)
        checkpoint = models.load(self.folder / "part1.pt", 1)[1]
        self.assertEqual(checkpoint["loss"], min(epochs[:2]))

    @unittest.skipIf(os.name == "nt", "Windows sends no SIGINT to one process")
    def test_ctrl_c_from_a_terminal(self):
        command = [sys.executable, HERE / "train_part1.py", "--out", self.folder]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)
        for line in process.stdout:
            if line.startswith("epoch   2"):
                break
        os.kill(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=100)
        self.assertEqual(process.returncode, 130)
        self.assertNotIn("Traceback", errors)
        self.assertEqual(self.files(), {"part1.pt", "part1_loss.png"})

    def test_small_encodings(self):
        models.save(SynchronousAdder(10, 0.1), self.folder / "²é.pt", 1, 0.7, 5)
        for encoding in ("ascii", "cp932"):
            for name in ("train_part1.py", "train_part2.py", "deploy.py"):
                shown = script(
                    name, "--help", folder=self.folder, PYTHONIOENCODING=encoding
                )
                self.assertEqual((shown.returncode, shown.stderr), (0, ""))
        added = script(
            *("deploy.py", 1, 2, "--model", "²é.pt"),
            folder=self.folder,
            PYTHONIOENCODING="ascii",
        )
        self.assertEqual((added.returncode, added.stderr), (0, ""))

    def test_output_that_is_cut_off(self):
        models.save(SynchronousAdder(10, 0.1), self.folder / "part1.pt", 1, 0.7, 5)
        number = hex(2**200_000)
        numbers = self.folder / "numbers"
        numbers.write_text(f"{number} {number}", encoding="utf-8")
        words = "deploy.py", f"@{numbers}", "--model", self.folder / "part1.pt"
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [sys.executable, *words], cwd=HERE, stdout=pipe, stderr=pipe, text=True
        )
        process.stdout.readline()
        process.stdout.close()  # as head -1 does
        self.assertEqual(process.stderr.read(), "")
        process.stderr.close()
        process.wait(timeout=100)

    def test_a_torch_that_does_not_load_gets_a_sentence(self):
        package = self.folder / "torch"
        package.mkdir()
        for error in ('OSError("Error loading fbgemm.dll")', 'ImportError("no _C")'):
            (package / "__init__.py").write_text(f"raise {error}", encoding="utf-8")
            for name in ("deploy.py", "train_part1.py", "train_part2.py"):
                run = script(name, 1, 2, folder=HERE, PYTHONPATH=str(self.folder))
                self.assertEqual((run.returncode, run.stdout), (2, ""))
                self.assertRegex(run.stderr, r"\Atorch does not load .*; see .*\n\Z")


if __name__ == "__main__":
    unittest.main()
