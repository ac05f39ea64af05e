"""How long training and deployment take, each against something, in turn on one machine; medians of five rounds.

    python experiments/benchmark.py       about eight minutes, on a machine that does nothing else
    python experiments/benchmark.py part1 deployment       these sections anew

1. What a mini-batch costs in training, by adding one piece after the other to a bare loop: the same stock nn.RNN,
   output layer and optimiser, over and over on one ready-made batch. The last piece is the whole script as a process, evaluation, saving
   and averaging too, less what it takes to start and to end: a run of many epochs less a run of one.
2. The obvious way to write it, samples made and padded one by one in Python, torch's own choice of threads, and what each change gives;
   once on a machine that does nothing else, and once while two processes keep the cores busy.
3. Whole processes of deploy.py, from 10³ to 10⁶ digits: seconds and the most memory they held.
4. Whole processes that have little to do: --help and errors.

Writes benchmark.csv and benchmark.png.
"""

import contextlib
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
import unittest.mock
from pathlib import Path

import torch
from common import BLUE, GREEN, GREY, HERE, ORANGE, PINK, new_figure, read_rows, save_figure, write_rows
from torch import nn

import dataset
import train_part1
import train_part2
from dataset import to_digits

SCRIPTS = HERE.parent
SETTINGS = {1: train_part1.part1, 2: train_part2.part2}
BATCH, ROUNDS = train_part1.BATCH, 5
THREADS = torch.get_num_threads()  # torch's own choice
PIECES = ("bare loop", "clipping and schedule", "noise", "constraint", "new sums for every batch", "whole script")
LENGTHS = (10**3, 10**4, 10**5, 10**6)
BUSY = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"  # ends when the benchmark does
# Runs a script, then says how much memory it held at most. What wait4 says of a child is never less than its parent's.
PEAK = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print([line for line in open("/proc/self/status") if line.startswith("VmHWM")][0], flush=True)
"""
COLORS = (GREY, PINK, BLUE, GREEN, ORANGE, "#e69f00")


class OneByOne(torch.utils.data.Dataset):
    """The obvious dataset: a pair of integers in Python, its digits as lists, and a tensor of each."""

    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        a, b = (random.getrandbits(random.randint(1, 16)) for _ in range(2))
        length = max(a.bit_length(), b.bit_length(), 1) + 1
        inputs = torch.tensor([to_digits(a, length), to_digits(b, length)], dtype=torch.float32).T
        return inputs, torch.tensor(to_digits(a + b, length), dtype=torch.float32)


def loop(part, steps, pieces=(), data=None, threads=1, ahead=dataset.AHEAD, fused=True):
    """Milliseconds a mini-batch of a training loop with some of PIECES, on `data` or else on one ready-made batch."""
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    model, drawn, _, adam = SETTINGS[part]()
    model = type(model)(model.hidden, noise=model.noise if "noise" in pieces else 0, constrained="constraint" in pieces)
    optimizer = torch.optim.AdamW(model.parameters(), **adam, fused=fused)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, adam["lr"], total_steps=steps)
    ready = drawn.__getitems__(range(BATCH))
    if data is None and "new sums for every batch" in pieces:
        data = drawn
        data.size = steps * BATCH
    batches = torch.utils.data.DataLoader(data, BATCH, collate_fn=drawn.collate) if data else (ready for _ in range(steps))
    start = time.perf_counter()
    with unittest.mock.patch("dataset.AHEAD", ahead):
        for inputs, sums in batches:
            loss = nn.functional.binary_cross_entropy_with_logits(model(inputs), sums)
            optimizer.zero_grad()
            loss.backward()
            if "clipping and schedule" in pieces:
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            if "clipping and schedule" in pieces:
                schedule.step()
    torch.set_num_threads(1)
    return 1000 * (time.perf_counter() - start) / steps


def whole_script(part, epochs):
    """Seconds of a training script's whole process."""
    with tempfile.TemporaryDirectory() as folder:
        return process(f"train_part{part}.py", "--epochs", str(epochs), "--out", folder, "--device", "cpu")[0]


def process(*command, status=0):
    """Seconds of a Python process, and what it printed. Its exit status must be the given one."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *command], cwd=SCRIPTS, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode != status:
        sys.exit(f"{command} ended with {done.returncode} and not with {status}: {done.stderr}")
    return seconds, done.stdout


@contextlib.contextmanager
def busy_cores():
    others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(2)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def deploy(digits, folder):
    """Seconds and megabytes of a sum of two random numbers of so many binary digits, which must be right."""
    numbers = Path(folder, "numbers.txt")
    numbers.write_text(" ".join(hex(random.getrandbits(digits) | 1 << (digits - 1)) for _ in range(2)))
    seconds, output = process("-c", PEAK, "deploy.py", f"@{numbers}", "--model", "pretrained/part1.pt", "--device", "cpu")
    if f"\naccuracy  100.00 % ({digits + 1} of {digits + 1} digits)" not in output:
        sys.exit(f"a sum of {digits} digits is wrong")
    return seconds, int(re.search(r"VmHWM:\s+([0-9]+) kB", output)[1]) / 1024


def in_turn(cases):
    """Call every function of a dict, round after round. Returns the dict with a list of what they gave."""
    results = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, function in cases.items():
            results[name].append(function())
    return results


def row(what, unit, values, asked=""):
    """A row of the table, printed as well."""
    median, low, high = statistics.median(values), min(values), max(values)
    print(f"{what}  {median:.2f} {unit} ({low:.2f} to {high:.2f})", f"asked for: {asked}" if asked else "", flush=True)
    return {"what": what, "unit": unit, "median": f"{median:.3f}", "lowest": f"{low:.3f}", "highest": f"{high:.3f}", "asked_for": asked}


def ratio(what, values, others, asked=""):
    return row(what, "x", [a / b for a, b in zip(values, others)], asked)


def training(part, steps, epochs, asked):
    """Rows of what each piece of training costs, and the milliseconds a mini-batch of the whole script, round by round."""
    cases = {name: lambda upto=upto: loop(part, steps, PIECES[1 : upto + 1]) for upto, name in enumerate(PIECES[:-1])}
    cases["one epoch"] = lambda: whole_script(part, 1)
    cases["more epochs"] = lambda: whole_script(part, 1 + epochs)
    times = in_turn(cases)
    mini_batches = epochs * train_part1.ITERATIONS
    whole = [1000 * (more - one) / mini_batches for one, more in zip(times["one epoch"], times["more epochs"])]
    times[PIECES[-1]] = whole
    rows = [row(f"Part {part}: {'' if name in (PIECES[0], PIECES[-1]) else 'and '}{name}", "ms a mini-batch", times[name]) for name in PIECES]
    rows.append(ratio(f"Part {part}: whole script, against the bare loop", whole, times[PIECES[0]], asked))
    rows.append(row(f"Part {part}: whole script with one epoch: start, end and the plot", "s", times["one epoch"]))
    return rows, whole


def part1(steps=200, everything=PIECES[1:5]):
    rows, whole = training(1, 1000, 50, "1.5 or less")
    times = in_turn({
        "the obvious way": lambda: loop(1, steps, data=OneByOne(steps * BATCH), threads=THREADS, fused=False),
        "and one thread": lambda: loop(1, steps, data=OneByOne(steps * BATCH), fused=False),
        "with all of the pieces, and a batch drawn in one call": lambda: loop(1, steps, everything, ahead=1, fused=False),
        "and ten batches drawn in one call": lambda: loop(1, steps, everything, fused=False),
        "and one optimiser call for all weights": lambda: loop(1, steps, everything),
    })  # fmt: skip
    obvious, *better = times
    rows.append(row(f"Part 1: {obvious} ({THREADS} threads)", "ms a mini-batch", times[obvious]))
    for before, name in zip(times, better):
        rows.append(row(f"Part 1: {name}", "ms a mini-batch", times[name]))
        rows.append(ratio(f"Part 1: {name}: times faster", times[before], times[name]))
    rows.append(ratio("Part 1: whole script, times faster than the obvious way", times[obvious], whole, "5 or more"))
    with busy_cores():
        times = in_turn({
            f"{obvious}, two other processes busy": lambda: loop(1, 20, data=OneByOne(20 * BATCH), threads=THREADS, fused=False),
            "with all changes, two other processes busy": lambda: loop(1, steps, everything),
        })  # fmt: skip
    rows += [row(f"Part 1: {name}", "ms a mini-batch", times[name]) for name in times]
    return [*rows, ratio("Part 1: with all changes, two other processes busy: times faster", *times.values())]


def part2():
    return training(2, 300, 10, "1.2 or less")[0]


def deployment():
    with tempfile.TemporaryDirectory() as folder:
        runs = in_turn({digits: lambda digits=digits: deploy(digits, folder) for digits in LENGTHS})
    rows = []
    for digits in LENGTHS:
        last = digits == LENGTHS[-1]
        rows.append(row(f"deploy.py, {digits:,} digits", "s", [seconds for seconds, _ in runs[digits]], "15 or less" if last else ""))
        rows.append(row(f"deploy.py, {digits:,} digits: memory", "MB", [memory for _, memory in runs[digits]], "1000 or less" if last else ""))
    return rows


def answers():
    calls = {("deploy.py", "--help"): 0, ("train_part1.py", "--help"): 0, ("certify.py", "--help"): 0, ("deploy.py", "x", "1"): 2, ("train_part2.py", "--epochs", "0"): 2}
    runs = in_turn({call: lambda call=call, status=status: process(*call, status=status)[0] for call, status in calls.items()})
    return [row(" ".join(call), "s", seconds, "0.3 or less") for call, seconds in runs.items()]


def draw(rows):
    medians = {row["what"]: float(row["median"]) for row in rows}
    figure, (left, right) = new_figure(1, 2, size=(12, 4.2))
    for part in (1, 2):
        names = [f"Part {part}: {'' if name in (PIECES[0], PIECES[-1]) else 'and '}{name}" for name in PIECES]
        shares = [medians[name] / medians[names[0]] for name in names]
        before = 0
        for name, share, color in zip(PIECES, shares, COLORS):
            label = {"bare loop": "bare loop: forward, backward, Adam", "whole script": "averaging, evaluation, saving"}.get(name, name)
            left.barh(part, max(share - before, 0), left=before, color=color, label=label if part == 1 else None)
            before = max(share, before)
        left.text(before + 0.02, part, f"{shares[-1]:.2f}", va="center")
    left.set_yticks([1, 2], ["Part 1", "Part 2"])
    left.invert_yaxis()
    left.set(xlabel="time a mini-batch, in those of the bare loop", xlim=(0, 1.75))
    left.set_title("Where the training's time goes", fontsize=11)
    left.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.45, -0.18), ncols=2, frameon=False)
    seconds = [medians[f"deploy.py, {digits:,} digits"] for digits in LENGTHS]
    memory = [medians[f"deploy.py, {digits:,} digits: memory"] for digits in LENGTHS]
    right.loglog(LENGTHS, seconds, "o-", color=BLUE)
    for digits, second, megabytes in zip(LENGTHS, seconds, memory):
        right.annotate(f"{second:.1f} s\n{megabytes:.0f} MB", (digits, second), textcoords="offset points", xytext=(0, 9), ha="center", fontsize=9)
    right.set(xlabel="binary digits of each number", ylabel="seconds, whole process", xlim=(600, 2e6), ylim=(0.5, 50))
    right.set_title("Adding two numbers with deploy.py", fontsize=11)
    right.grid(alpha=0.3)
    save_figure(figure, "benchmark.png")


SECTIONS = (part1, part2, deployment, answers)

if __name__ == "__main__":
    rows = {row["what"]: row for row in read_rows("benchmark.csv")}
    for section in SECTIONS:
        if not sys.argv[1:] or section.__name__ in sys.argv[1:]:
            rows.update((row["what"], row) for row in section())
    write_rows("benchmark.csv", list(rows.values()))
    draw(rows.values())
