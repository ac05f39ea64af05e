"""The proof that a trained network adds: Part 1 for integers of any length, Part 2 for all 2³² pairs of 16 digits.

    python certify.py                     prove runs/part1.pt, or else pretrained/part1.pt
    python certify.py --part 2            try every case of Part 2

Theorem (Part 1). Let the network be h ← relu(W_ih x + b + W_hh h) from h = 0, with the logit w·h + c, and split
W_hh = u vᵀ + E, for any u and v. Of the state only the number s = v·h, "the carry line", and the small E h act on
the next step. Let relu(W_ih x + b + u s) = r(x, s). Suppose there are two intervals of s, one for each carry, with

    1. 0 is in I₀;
    2. for each carry k, digit pair x and s in I_k, with n = x₁ + x₂ + k:
       v·r(x, s) is in I_(n div 2), and stays there if every r_j is off by at most δ_j;
    3. the logit w·r(x, s) + c has the sign of digit n mod 2, likewise for every error up to δ.

Then every digit of every sum of two integers of any length is right, in float32 as it runs.
Proof, by induction over the steps. Before the first step s = 0 lies in I₀ and the carry is 0. If s lies in I_k and k is
the carry, then the next state is r(x, s) up to an error in each unit of at most δ_j = Σ_j |E_ij| H_j + (rounding),
where H_j bounds unit j: relu lets no error grow. So by 2 the next s lies in the interval of the next carry, and by 3 the
logit has the sign of the sum's digit. H bounds the next state too, as H_j ≥ max r_j + δ_j is checked. ∎

A piecewise-linear function takes its extremes over an interval at the ends or at its kinks, so each of the eight
(carry, pair) cases is a matter of at most twelve points. The checker does them in exact rational arithmetic: a
float32 weight is a rational number. Rounding: a sum of n products in float32, in whatever order, with fused
multiply-adds or without, is off by at most γ Σ|terms|, γ = n 2⁻²⁴ / (1 − n 2⁻²⁴) (Higham, Accuracy and Stability of
Numerical Algorithms, 2002, section 3.1); where numbers below 2⁻¹²⁶ are flushed to zero, by 2⁻¹²⁶ times what they meet.
TF32 and bfloat16 are no float32; `models.choose_device` turns TF32 off.

Part 2 has 16 digits, so it needs no theorem: its input weights are tied, so of a pair of numbers it sees the 16 column
sums alone, and `exhaust` runs all 3¹⁶ of them. That is float32 on this machine; the margins say how far rounding is from
changing a digit elsewhere.
"""

import os
import sys
import time
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

from cli import OneSentenceParser, finish, open_checkpoint, stop_quietly

PAIRS = ((0, 0), (0, 1), (1, 0), (1, 1))


class Row(namedtuple("Row", "carry pair image target stays logits digit right")):
    """One of the eight checks, of a carry and a digit pair; it holds if s stays and the logit's sign is right."""

    @property
    def holds(self):
        return self.stays and self.right


# ---- Part 1, the checker: exact, small, and it trusts nobody ----


def check(weights, intervals):
    """Check what the theorem supposes, for two intervals of s: (low, high) of carry 0 and of carry 1.

    `weights` is the six weights as nested lists of fractions (see `exact`). Returns eight rows; the network is proven
    if every one holds. Raises ValueError if 0, where the state starts, is not in the first interval, or
    if an interval is empty.
    """
    intervals = [(Fraction(low), Fraction(high)) for low, high in intervals]
    (low, high), (low_1, high_1) = intervals
    if not (low <= 0 <= high and low_1 <= high_1):
        raise ValueError("the interval of carry 0 must hold 0, where the state starts, and neither may be empty")
    W_ih, W_hh = weights["rnn.weight_ih_l0"], weights["rnn.weight_hh_l0"]
    b_ih, b_hh = weights["rnn.bias_ih_l0"], weights["rnn.bias_hh_l0"]
    w, c = weights["output.weight"][0], weights["output.bias"][0]
    u, v = split(W_hh)
    units = range(len(w))
    reached = {(k, x): states(weights, u, x, intervals[k]) for k in (0, 1) for x in PAIRS}

    # H is a guess, a little above the largest state, that must prove itself: H >= max r + δ(H).
    largest = [max(r[j] for extremes in reached.values() for r in extremes) for j in units]
    H = [r + Fraction(1, 100) for r in largest]
    big = max(H) + max(abs(entry) for row in (*W_ih, *W_hh, w, b_ih, b_hh) for entry in row)
    relative, tiny = rounding_error(len(units) + 4, big)
    δ = [
        sum(abs(W_hh[i][j] - u[i] * v[j]) * H[j] for j in units)
        + relative * (sum(map(abs, W_ih[i])) + abs(b_ih[i]) + abs(b_hh[i]) + sum(abs(W_hh[i][j]) * H[j] for j in units))
        + tiny
        for i in units
    ]
    relative, tiny = rounding_error(len(units) + 1, big)
    slack = sum(abs(v[j]) * δ[j] for j in units)
    logit_slack = sum(abs(w[j]) * (δ[j] + relative * H[j]) for j in units) + relative * abs(c) + tiny
    if any(largest[j] + δ[j] > H[j] for j in units):
        slack = logit_slack = float("inf")  # W_hh is too far from rank one: nothing is known of where the state goes

    rows = []
    for (k, x), extremes in reached.items():
        n = sum(x) + k
        image = widen(span(dot(v, r) for r in extremes), slack)
        logits = widen(span(dot(w, r) + c for r in extremes), logit_slack)
        target, digit = n // 2, n % 2
        stays = intervals[target][0] <= image[0] and image[1] <= intervals[target][1]
        rows.append(Row(k, x, image, target, stays, logits, digit, logits[0] > 0 if digit else logits[1] < 0))
    return rows


def split(W_hh):
    """u and v such that u vᵀ has the matrix's largest entry, and the whole row and column of that entry."""
    size = range(len(W_hh))
    row, column = max(((i, j) for i in size for j in size), key=lambda place: abs(W_hh[place[0]][place[1]]))
    pivot = W_hh[row][column] or 1
    return [W_hh[i][column] / pivot for i in size], W_hh[row]


def states(weights, u, x, interval):
    """r(x, s) for s at the interval's ends and at the kinks inside: where linear functions of r take their extremes."""
    drive, kinks = line(weights, u, x)
    return [respond(drive, u, s) for s in (*interval, *(s for s in kinks if interval[0] < s < interval[1]))]


def line(weights, u, x):
    """What drives each unit under digit pair x, W_ih x + b, and the values of s at which some unit switches."""
    W_ih, b_ih, b_hh = (weights[f"rnn.{name}_l0"] for name in ("weight_ih", "bias_ih", "bias_hh"))
    drive = [W_ih[i][0] * x[0] + W_ih[i][1] * x[1] + b_ih[i] + b_hh[i] for i in range(len(u))]
    return drive, {-drive[i] / u[i] for i in range(len(u)) if u[i]}


def respond(drive, u, s):
    """r(x, s), given what x drives."""
    return [max(drive[i] + u[i] * s, 0) for i in range(len(u))]


def rounding_error(products, largest):
    """Bounds, relative and absolute, of the float32 rounding error of a sum of so many products of numbers so large."""
    error = Fraction(products, 2**24)
    return error / (1 - error), 4 * products * (1 + largest) / 2**126


def dot(a, b):
    return sum(p * q for p, q in zip(a, b))


def span(values):
    values = list(values)
    return min(values), max(values)


def widen(interval, margin):
    return interval[0] - margin, interval[1] + margin


def exact(state_dict, number=Fraction):
    """A checkpoint's weights as nested lists of fractions, not rounded. Raises ValueError for NaN and infinity."""

    def convert(values):
        return [convert(value) for value in values] if isinstance(values, list) else number(values)

    try:
        return {name: convert(weight.tolist()) for name, weight in state_dict.items()}
    except (OverflowError, ValueError):
        raise ValueError("a weight is not a finite number") from None


# ---- Part 1, the finder: it may be clever, for the checker has the last word ----


def prove(state_dict):
    """Look for intervals that `check` accepts. Returns (proven, intervals, rows)."""
    weights, rough = exact(state_dict), exact(state_dict, float)
    for margin in (2.0**-12, 2.0**-9, 2.0**-6):  # must exceed the slack, which is not known before the check
        intervals = grow_intervals(rough, margin)
        rows = check(weights, intervals)
        if all(row.holds for row in rows):
            return True, intervals, rows
    return False, intervals, rows


def grow_intervals(weights, margin, rounds=300, limit=1e6):
    """Intervals (low, high) of carry 0 and 1, in floats, that the eight cases map into themselves with a margin.

    They grow from {0} by images, each widened by the margin, until they stay put. Where none such exist they grow
    until the rounds or the limit are used up, and the check fails.
    """
    u, v = split(weights["rnn.weight_hh_l0"])
    intervals = [(0.0, 0.0), None]
    for _ in range(rounds):
        before = list(intervals)
        for k in (0, 1):
            for x in PAIRS if intervals[k] else ():
                image = widen(span(dot(v, r) for r in states(weights, u, x, intervals[k])), margin)
                target = (sum(x) + k) // 2
                intervals[target] = span(image + (intervals[target] or ()))
        ends, ends_before = intervals[0] + intervals[1], before[0] + (before[1] or (limit, limit))
        if max(map(abs, ends)) > limit or max(abs(a - b) for a, b in zip(ends, ends_before)) < margin / 100:
            break
    return intervals


# ---- Part 1, the other way round: a real counterexample for a network that is not proven ----


def adversarial_pairs(length):
    """Digit pairs (N, length, 2), lowest first, where random tests do not look: long carries, silences, skewed digits."""
    import torch
    from itertools import product

    def repeat(word, first=()):
        word = torch.tensor(word).repeat(-(-length // len(word)), 1)
        return torch.cat((torch.tensor(first, dtype=torch.long).view(-1, 2), word))[:length]

    words = [word for size in (1, 2, 3) for word in product(PAIRS, repeat=size)]
    periodic = [repeat(word, first) for word in words for first in ((), ((1, 1),))]  # (1,1) sends a carry ahead
    carries = [repeat([(1, 1)] + [x] * run + [(0, 0)] * rest) for run in (8, 30, 100, 1000) for rest in (1, 50) for x in PAIRS]
    generator = torch.Generator().manual_seed(0)
    odds = torch.rand(256, 4, generator=generator) ** 6  # most draws leave one or two pairs that matter
    skewed = torch.tensor(PAIRS)[torch.multinomial(odds, length, True, generator=generator)]
    return torch.cat((torch.stack(periodic + carries), skewed))


def exact_digits(pairs):
    """The digits (B, T) of the sums of digit pairs (B, T, 2), by school addition, for any T."""
    import torch

    carry, digits = torch.zeros_like(pairs[:, 0, 0]), []
    for column in pairs.sum(2).unbind(1):
        digits.append((column + carry) % 2)
        carry = (column + carry) // 2
    return torch.stack(digits, 1)


def find_counterexample(model, length=3000):
    """Two integers and the first place where the network's digit of their sum is wrong, or None if none is found."""
    import torch
    from dataset import to_integer

    pairs = adversarial_pairs(length)
    with torch.no_grad():
        wrong = (model(pairs.float()) > 0) != exact_digits(pairs).bool()
    first_wrong = torch.where(wrong.any(1), wrong.int().argmax(1), length)
    stream, place = first_wrong.argmin().item(), first_wrong.min().item()
    if place == length:
        return None
    a, b = (to_integer(digits) for digits in pairs[stream, : place + 1].T.tolist())
    return a + 2 ** (place + 1), b, place  # one more digit, so that the wrong one is surely asked for


# ---- Part 2: every case ----

DIGITS = 16  # of a number in Part 2; the network reads one more, a zero, before them


def exhaust(state_dict, device="cpu", block=7, report=lambda share: None, every=1, workers=None):
    """Run Part 2's network on all 3¹⁶ sequences of column sums, highest first: of digits 0 + 0, 0 + 1 or 1 + 0, 1 + 1.

    The sequences are a tree: those that begin alike share the steps that read the beginning. The states after the
    first 16 - block columns are kept, and from each a batch of 3^block sequences is finished; `every` n runs only
    each n-th batch. Returns how many sums are wrong and the worst of ten batches, as (margin, sequence), worst
    first. A sum's margin is the smallest of its logits, counted on the side of zero where each should be.
    """
    import torch

    weights = {name: weight.to(device) for name, weight in state_dict.items()}
    W_ih, W_hh, w = weights["rnn.weight_ih_l0"], weights["rnn.weight_hh_l0"], weights["output.weight"]
    bias = (weights["rnn.bias_ih_l0"] + weights["rnn.bias_hh_l0"])[:, None]
    drive = [column * W_ih[:, :1] + bias for column in range(3)]

    def step(states, column):  # states are (H, N), for N sequences
        return torch.addmm(drive[column].expand(-1, states.shape[1]), W_hh, states).relu_()

    def grow(states, sums, columns):
        """All continuations by so many columns; the latest column varies slowest."""
        for _ in range(columns):
            states = torch.cat([step(states, column) for column in range(3)], dim=1)
            sums = torch.cat([2 * sums + column for column in range(3)])
        return states, sums

    def columns_of(place, columns):
        return tuple(place // 3**k % 3 for k in range(columns))

    states = step(torch.zeros(len(W_hh), 1, device=device), 0)
    states, sums = grow(states, torch.zeros(1, dtype=torch.long, device=device), DIGITS - block)

    def finish(first):
        """The batch that continues one beginning: its number of wrong sums, smallest margin, and that one's columns."""
        state, total = grow(states[:, first : first + 1], sums[first : first + 1], block)
        margins = torch.full(total.shape, float("inf"), device=device)
        for place in range(DIGITS, -1, -1):  # of the sum's digits, highest first
            state = step(state, 0)
            logits = torch.addmm(weights["output.bias"][:, None], w, state)[0]
            margins = torch.minimum(margins, torch.where((total >> place & 1).bool(), logits, -logits))
        margin, place = margins.min(0)
        columns = columns_of(first, DIGITS - block) + columns_of(place.item(), block)
        return int((margins <= 0).sum()), margin.item(), columns

    wrong, worst, firsts = 0, [], range(0, len(sums), every)
    # One batch a core: threads of Python's, since torch's own would have to wait for each other at every step.
    with ThreadPoolExecutor(workers or (1 if str(device).startswith("cuda") else os.cpu_count())) as pool:
        for done, (batch_wrong, margin, columns) in enumerate(pool.map(finish, firsts), 1):
            wrong += batch_wrong
            worst = sorted([*worst, (margin, columns)])[:10]
            report(done / len(firsts))
    return wrong, worst


def as_pair(columns):
    """Two integers with these column sums."""
    from dataset import to_integer

    return tuple(to_integer([int(column >= least) for column in columns], "highest") for least in (1, 2))


def as_inputs(columns):
    """Column sums (N, 16), highest first, as inputs (N, 17, 2) of Part 2's network."""
    import torch

    columns = torch.nn.functional.pad(columns, (1, 0))
    return torch.stack((columns >= 1, columns >= 2), dim=2).float()


def rounding_difference(model, sequences):
    """The largest difference between the logits of the deployed network, in float32, and the same in float64."""
    import copy

    import torch

    inputs = as_inputs(torch.tensor(sequences))
    with torch.inference_mode():
        return (copy.deepcopy(model).double()(inputs.double()) - model(inputs)).abs().max().item()


# ---- what is printed and drawn ----


def certify_part1(model, checkpoint, picture):
    """Print the eight checks and the verdict, draw the carry line. Returns whether the network is proven."""
    proven, intervals, rows = prove(checkpoint["state_dict"])
    for k in (0, 1):
        print(f"carry {k}   s in [{float(intervals[k][0]):.4f}, {float(intervals[k][1]):.4f}]")
    print("\ncarry  digits  next s lies in         of carry      logit lies in          for digit  holds")
    for row in rows:
        image, logits = (f"[{float(low):9.3f}, {float(high):9.3f}]" for low, high in (row.image, row.logits))
        verdict = "yes" if row.holds else "no: " + " and ".join(
            ["it leaves the interval"] * (not row.stays) + ["the sign is wrong"] * (not row.right)
        )
        print(f"{row.carry:<5}  {row.pair[0]} {row.pair[1]}     {image}  {row.target:<8} {logits}  {row.digit:<9}  {verdict}")
    print()
    if rows[0].image[1] == float("inf"):
        print("The recurrent matrix is too far from rank one: what the network remembers is no single number.")
    else:
        try:
            draw_carry_line(checkpoint["state_dict"], intervals, rows, picture)
            print(f"picture   {picture}")
        except OSError as error:  # the verdict is worth more than the picture
            print(f"picture   not drawn: {picture} cannot be written ({error.strerror or error})")
    if proven:
        print("proven    every digit of the sum of any two integers of any length is right")
        return True
    print(f"not proven: {sum(not row.holds for row in rows)} of the eight checks fail")
    found = find_counterexample(model)
    if found:
        a, b, place = found
        print(f"counterexample: digit {place} (of value 2^{place}) is wrong in\npython deploy.py {a:#x} {b:#x}")
    else:
        print("no counterexample found: the network may be right, or wrong where the search did not look")
    return False


def certify_part2(model, checkpoint, device):
    """Run every case of Part 2 and print what came of it. Returns whether every sum is right."""
    import torch

    weights = checkpoint["state_dict"]
    if not torch.equal(weights["rnn.weight_ih_l0"][:, 0], weights["rnn.weight_ih_l0"][:, 1]):
        print("not proven: its two input weights differ, so that pairs with the same column sums are different cases")
        return False
    start = time.perf_counter()

    def report(share):
        left = (time.perf_counter() - start) * (1 - share) / share
        bar = "#" * int(30 * share)
        print(f"\r[{bar:<30}] {100 * share:5.1f} %  {left:4.0f} s to go ", end="" if share < 1 else "\n", file=sys.stderr, flush=True)

    wrong, worst = exhaust(weights, device, 12 if device.type == "cuda" else 7, report)
    margin = worst[0][0]
    generator = torch.Generator().manual_seed(0)
    sample = torch.randint(3, (100_000, DIGITS), generator=generator).tolist() + [columns for _, columns in worst]
    print(f"cases     {3**DIGITS} sequences of {DIGITS} column sums, which are all {4**DIGITS} pairs of {DIGITS}-digit numbers")
    print(f"wrong     {wrong} of the {3**DIGITS} sums")
    print(f"margin    every logit is on its side by {margin:.4f} or more" if margin > 0 else f"margin    the worst logit is on the wrong side by {-margin:.4f}")
    print(f"rounding  on {len(sample)} cases float32 and float64 logits differ by at most {rounding_difference(model, sample):.1e}")
    if wrong == 0:
        print("exact     the network is right on all of them")
        return True
    print("counterexample:\npython deploy.py --part 2 {} {}".format(*as_pair(worst[0][1])))
    return False


def draw_carry_line(state_dict, intervals, rows, path):
    """The four functions s → v·r(x, s), one a digit pair, with the box that each must stay in for either carry."""
    from matplotlib.figure import Figure  # draws to files, without a screen
    from matplotlib.patches import Rectangle
    from models import write_whole

    weights = exact(state_dict, float)
    u, v = split(weights["rnn.weight_hh_l0"])
    low, high = span(float(end) for interval in intervals for end in interval)
    low, high = widen((low, high), 0.08 * (high - low))
    figure = Figure(figsize=(10, 8), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    for x, axes in zip(PAIRS, panels.flat):
        drive, kinks = line(weights, u, x)
        points = sorted([low, high, *(s for s in kinks if low < s < high)])
        curve = [dot(v, respond(drive, u, s)) for s in points]
        for k, color in ((0, "#0072b2"), (1, "#d55e00")):
            (left, right), (bottom, top) = (map(float, intervals[i]) for i in (k, (sum(x) + k) // 2))
            axes.axvspan(left, right, color=color, alpha=0.12)
            axes.add_patch(Rectangle((left, bottom), right - left, top - bottom, fill=False, edgecolor=color, linewidth=2))
            row = next(row for row in rows if (row.carry, row.pair) == (k, x))
            axes.text(low if k == 0 else high, bottom, f" carry {k}: writes {row.digit}, carries {row.target} ", color=color,
                      ha="left" if k == 0 else "right", va="top")  # fmt: skip
        axes.plot(points, curve, "k.-", linewidth=1.2, markersize=5)
        axes.set(title=f"it reads {x[0]} and {x[1]}", xlim=(low, high))
        axes.grid(alpha=0.3)
    figure.supxlabel("s = v·h before the step: all that the network remembers")
    figure.supylabel("s after the step (dots: kinks, where a unit switches on or off)")
    finding = "crosses its boxes from side to side, so no carry is ever lost"
    if not all(row.stays for row in rows):
        finding = "should cross its boxes from side to side, and one does not"
    figure.suptitle(f"Why it adds: every curve {finding}")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda file: figure.savefig(file, format="png", dpi=110))


def main():
    arguments = parse()
    stop_quietly()
    device = arguments.device if arguments.part == 2 else "cpu"
    path, model, checkpoint, device = open_checkpoint(arguments.model, arguments.part, device)
    from models import fingerprint

    print(f"model     {path}, weights {fingerprint(checkpoint['state_dict'])[:16]}")
    if arguments.part == 1:
        proven = certify_part1(model, checkpoint, arguments.picture)
    else:
        proven = certify_part2(model, checkpoint, device)
    return 0 if proven else 1


def parse():
    """Check the arguments. This comes before torch is imported, which takes seconds."""
    parser = OneSentenceParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", type=int, choices=(1, 2), default=1, help="1: the proof; 2: every case; default 1")
    parser.add_argument("--model", type=Path, help="checkpoint; default runs/partN.pt if there, else pretrained/partN.pt")
    parser.add_argument("--picture", type=Path, default=Path("runs/carry_line.png"), help="where Part 1's picture goes")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where Part 2's cases run; auto: cuda when present")
    return parser.parse_args()


if __name__ == "__main__":
    finish(main)
