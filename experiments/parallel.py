"""Do the steps of an RNN run in parallel? No; but those of a proven network do.

    python experiments/parallel.py                 seven minutes, nothing else running
    python experiments/parallel.py --largest 6     a minute: sums of up to 10^6 digits

The first half times batches and sequences that grow, forward and backward. The second
adds ever longer numbers on one core with Part 1's network, step by step and by carry
select. Every digit is checked. Writes results/parallel.csv and parallel.png.
"""

import itertools
import multiprocessing
import random
import statistics
import time
from pathlib import Path

from common import BLUE, ORANGE, ROOT, new_figure, parse, save_figure, write_rows

import torch

from models import SynchronousAdder, UserError, load, prepare_device
from proof.part1 import lists, prove, split
from deploy import read

SIZES = (1, 4, 16, 64, 256, 1024)
LENGTH = 64  # digits of a piece
PIECES = 4096  # that run at once, from both carries, so that memory stays flat


def select(model, inputs, intervals, v, length=LENGTH, pieces=PIECES):
    """Digits (T,) of one sum by a proven network, from (T, 2): pieces run at once.

    A carry-select adder: every piece runs from a state of carry 0 and from one of carry
    1. Then the right run is chosen, piece by piece, by the interval of s = v·h in which
    the piece before ended. `intervals` and `v` are those of the proof.

    The network's own start is a state of carry 0; reading 1 + 1 from there gives one of
    carry 1. The theorem covers both, so all chosen digits are right. Raises UserError
    if the gap between the intervals is too small for s in float64.
    """
    (low_0, high_0), (low_1, high_1) = intervals
    v = torch.tensor([float(value) for value in v], dtype=torch.float64)
    above, below = max(low_0, low_1), min(high_0, high_1)  # they do not overlap
    middle, gap = float(above + below) / 2, float(above - below)
    carry, digits = 0, []
    with torch.inference_mode():
        _, one = model.rnn(torch.ones(1, 1, 2))
        starts = torch.cat((torch.zeros_like(one), one), dim=1)
        for part in inputs.split(length * pieces):
            ends, either = _run(model, part, starts, length)
            ends = ends.double()
            sizes = (ends @ v.abs()).max().item() + abs(middle)
            if not gap / 2 > (len(v) + 4) * 2**-52 * sizes:  # twice what a sum can lose
                raise UserError("its intervals of s are too close for float64.")
            carries = ((ends @ v > middle) == (low_1 > low_0)).tolist()
            chosen = []
            for after in zip(*carries):
                chosen.append(carry)
                carry = int(after[carry])
            digits.append(either[chosen, range(len(chosen))].flatten()[: len(part)])
    return torch.cat(digits)


def _run(model, inputs, starts, length):
    """Last states (2, N, H) and digits (2, N, length) of N pieces from two states."""
    count = -(-len(inputs) // length)
    padded = torch.zeros(count * length, 2)
    padded[: len(inputs)] = inputs
    padded = padded.view(count, length, 2).repeat(2, 1, 1)
    states, ends = model.rnn(padded, starts.repeat_interleave(count, dim=1))
    digits = model.output(states).squeeze(2) > 0
    return ends.view(2, count, -1), digits.view(2, count, length)


def shipped():
    """Part 1's network, the intervals of its proof, and v."""
    model, checkpoint = load(ROOT / "pretrained" / "part1.pt", part=1)
    weights = lists(checkpoint["state_dict"])
    return model, prove(weights).intervals, split(weights["rnn.weight_hh_l0"])[1]


def hard_sum(length):
    """Two random numbers of so many digits; a carry may cross the middle third."""
    random.seed(length)
    a, b = random.getrandbits(length), random.getrandbits(length)
    run = (1 << length // 3) - 1 << length // 3
    return a, (b & ~run) | (~a & run)


def to_bits(integer, length):
    """Binary digits (length,), lowest first, in linear time."""
    content = bytearray(integer.to_bytes(length // 8 + 1, "little"))
    content = torch.frombuffer(content, dtype=torch.uint8)
    return ((content[:, None] >> torch.arange(8)) & 1).flatten()[:length]


def to_number(digits):
    """Integer of binary digits (T,), lowest first, in linear time."""
    digits = torch.nn.functional.pad(digits.byte(), (0, -len(digits) % 8))
    content = (digits.view(-1, 8) << torch.arange(8)).sum(1, dtype=torch.uint8)
    return int.from_bytes(content.numpy().tobytes(), "little")


def add(way, length):
    """Row of the table: one sum, "step by step" or by "carry select"."""
    prepare_device("cpu")
    torch.set_num_threads(1)
    model, *proof = shipped()
    a, b = hard_sum(length)
    inputs = torch.stack([to_bits(n, length + 1).float() for n in (a, b)], dim=1)
    select(model, inputs[:10], *proof)  # the first call loads what torch needs
    before = memory(reset=True)
    start = time.perf_counter()
    if way == "carry select":
        digits = select(model, inputs, *proof)
    else:
        with torch.inference_mode():
            digits = read(model, inputs[None])[0] > 0
    seconds, megabytes = time.perf_counter() - start, memory() - before
    wrong = (to_number(digits) ^ (a + b)).bit_count()
    return row(way, length, seconds, f"{megabytes:.1f}", wrong)


def memory(reset=False):
    """Most memory that this process has held, in MB, ever or since the last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def row(what, size, seconds, megabytes="", wrong=""):
    values = what, size, f"{seconds:.3g}", megabytes, wrong
    print(*values, flush=True)
    return dict(zip(("what", "size", "seconds", "megabytes", "wrong_digits"), values))


def forward_and_backward(sequences, steps, repeats=7):
    """Median seconds of a pass through Part 1's network and back."""
    model, inputs = SynchronousAdder(10, 0.0), torch.rand(sequences, steps, 2)
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        model(inputs).sum().backward()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def draw(rows):
    figure, panels = new_figure(columns=3, height=2.35)
    styles = {
        "sequences": (BLUE, "more sequences,\n64 steps each"),
        "steps": (ORANGE, "more steps,\n128 sequences"),
        "step by step": (ORANGE, "step by step"),
        "carry select": (BLUE, "carry select"),
    }
    measured = {}
    for what, (color, label) in styles.items():
        mine = [row for row in rows if row["what"] == what]
        sizes = [row["size"] for row in mine]
        seconds = [float(row["seconds"]) for row in mine]
        axes = panels[0 if mine[0]["megabytes"] == "" else 1]
        axes.loglog(sizes, seconds, "o-", color=color, label=label, markersize=4)
        if axes is panels[1]:
            measured[what] = seconds
            megabytes = [float(row["megabytes"]) for row in mine]
            panels[2].semilogx(sizes, megabytes, "o-", color=color, markersize=4)
    panels[0].set_title("Sequences cost little,\nsteps their full price")
    panels[0].set_xlabel("sequences, or steps")
    panels[0].set_ylabel("forward and backward (s)")
    ratios = [slow / fast for slow, fast in zip(*measured.values())]
    spread = f"{min(ratios):.0f} to {max(ratios):.0f}"
    panels[1].set_title(f"A proven network adds\n{spread} times as fast")
    panels[1].set_ylabel("one sum (s)")
    most = f"{max(megabytes):.0f} MB at most"
    panels[2].set_title(f"Carry select: beside the\ninputs {most}")
    panels[2].set_ylabel("memory beside the inputs (MB)")
    for axes in panels[1:]:
        axes.set_xlabel("binary digits")
    panels[0].set_ylim(top=1)
    panels[0].legend(loc="upper left")
    panels[1].legend()
    save_figure(figure, "parallel.png")


if __name__ == "__main__":
    largest = parse(__doc__, jobs=0, largest=8).largest  # of 10^8 digits
    prepare_device("cpu")
    torch.set_num_threads(1)
    rows = [row("sequences", n, forward_and_backward(n, 64)) for n in SIZES]
    rows += [row("steps", n, forward_and_backward(128, n)) for n in SIZES]
    jobs = itertools.product(
        (10**power for power in range(4, largest + 1)), ("step by step", "carry select")
    )
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, maxtasksperchild=1) as pool:  # memory is that of one sum
        rows += [pool.apply(add, (way, length)) for length, way in jobs]
    write_rows("parallel.csv", rows)
    draw(rows)
