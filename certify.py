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
Numerical Algorithms, 2002, section 3.1), and by 2⁻¹²⁶ an operation where tiny numbers underflow or are flushed.

"""

import sys
from collections import namedtuple
from fractions import Fraction
from pathlib import Path

from cli import OneSentenceParser, default_checkpoint, fail, needs, stop_quietly

PAIRS = ((0, 0), (0, 1), (1, 0), (1, 1))
Row = namedtuple("Row", "carry pair image target stays logits digit right")  # one of the eight checks


# ---- Part 1, the checker: exact, small, and it trusts nobody ----


def check(weights, intervals):
    """Check what the theorem supposes, for two intervals of s: (low, high) of carry 0 and of carry 1.

    `weights` is the six weights as nested lists of fractions (see `exact`). Returns eight rows; the network is proven
    if every one stays and is right. Raises ValueError if 0, where the state starts, is not in the first interval, or
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
    relative, tiny = rounding_error(len(units) + 4)
    δ = [
        sum(abs(W_hh[i][j] - u[i] * v[j]) * H[j] for j in units)
        + relative * (sum(map(abs, W_ih[i])) + abs(b_ih[i]) + abs(b_hh[i]) + sum(abs(W_hh[i][j]) * H[j] for j in units))
        + tiny
        for i in units
    ]
    relative, tiny = rounding_error(len(units) + 1)
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


def rounding_error(products):
    """Bounds, relative and absolute, of the float32 rounding error of a sum of so many products."""
    error = Fraction(products, 2**24)
    return error / (1 - error), Fraction(4 * products, 2**126)


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
        if all(row.stays and row.right for row in rows):
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


# ---- what is printed and drawn ----


def certify_part1(model, checkpoint, picture):
    """Print the eight checks and the verdict, draw the carry line. Returns whether the network is proven."""
    proven, intervals, rows = prove(checkpoint["state_dict"])
    for k in (0, 1):
        print(f"carry {k}   s in [{float(intervals[k][0]):.4f}, {float(intervals[k][1]):.4f}]")
    print("\ncarry  digits  next s lies in         of carry      logit lies in          for digit  holds")
    for row in rows:
        image, logits = (f"[{float(low):9.3f}, {float(high):9.3f}]" for low, high in (row.image, row.logits))
        verdict = "yes" if row.stays and row.right else "no: " + " and ".join(
            ["it leaves the interval"] * (not row.stays) + ["the sign is wrong"] * (not row.right)
        )
        print(f"{row.carry:<5}  {row.pair[0]} {row.pair[1]}     {image}  {row.target:<8} {logits}  {row.digit:<9}  {verdict}")
    print()
    if rows[0].image[1] == float("inf"):
        print("The recurrent matrix is too far from rank one: what the network remembers is no single number.")
    else:
        draw_carry_line(checkpoint["state_dict"], intervals, rows, picture)
        print(f"picture   {picture}")
    if proven:
        print("proven    every digit of the sum of any two integers of any length is right")
        return True
    print(f"not proven: {sum(not (row.stays and row.right) for row in rows)} of the eight checks fail")
    found = find_counterexample(model)
    if found:
        a, b, place = found
        print(f"counterexample: digit {place} (of value 2^{place}) is wrong in\npython deploy.py {a:#x} {b:#x}")
    else:
        print("no counterexample found: the network may be right, or wrong where the search did not look")
    return False


def draw_carry_line(state_dict, intervals, rows, path):
    """The four functions s → v·r(x, s), one a digit pair, with the box that each must stay in for either carry."""
    import matplotlib
    from models import write_whole

    matplotlib.use("Agg")  # draws to files, without a screen
    from matplotlib import pyplot
    from matplotlib.patches import Rectangle

    weights = exact(state_dict, float)
    u, v = split(weights["rnn.weight_hh_l0"])
    low, high = span(float(end) for interval in intervals for end in interval)
    low, high = widen((low, high), 0.08 * (high - low))
    figure, panels = pyplot.subplots(2, 2, figsize=(10, 8), sharex=True, sharey=True, layout="constrained")
    for x, axes in zip(PAIRS, panels.flat):
        drive, kinks = line(weights, u, x)
        points = sorted([low, high, *(s for s in kinks if low < s < high)])
        curve = [dot(v, respond(drive, u, s)) for s in points]
        for k, color in ((0, "#0072b2"), (1, "#d55e00")):
            (left, right), (bottom, top) = (map(float, intervals[i]) for i in (k, (sum(x) + k) // 2))
            axes.axvspan(left, right, color=color, alpha=0.12)
            axes.add_patch(Rectangle((left, bottom), right - left, top - bottom, fill=False, edgecolor=color, linewidth=2))
            row = next(row for row in rows if (row.carry, row.pair) == (k, x))
            axes.text(low if k == 0 else high, top, f" carry {k}: writes {row.digit}, carries {row.target} ", color=color,
                      ha="left" if k == 0 else "right", va="bottom")  # fmt: skip
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
    pyplot.close(figure)


def main():
    arguments = parse()
    stop_quietly()
    sys.stdout.reconfigure(errors="backslashreplace")  # a file's name need not be printable
    try:
        from models import CheckpointError, choose_device, fingerprint, load
    except ModuleNotFoundError as error:
        return fail(needs(error))
    path = arguments.model or default_checkpoint(arguments.part)
    try:
        choose_device("cpu")
        model, checkpoint = load(path, arguments.part)
        print(f"model     {path}, weights {fingerprint(checkpoint['state_dict'])[:16]}")
        proven = certify_part1(model, checkpoint, arguments.picture)
    except CheckpointError as error:
        return fail(str(error))
    except OSError as error:
        return fail(f"cannot write {arguments.picture}: {error.strerror or error}.")
    return 0 if proven else 1


def parse():
    """Check the arguments. This comes before torch is imported, which takes seconds."""
    parser = OneSentenceParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", type=int, choices=(1, 2), default=1, help="1: the proof; 2: every case; default 1")
    parser.add_argument("--model", type=Path, help="checkpoint; default runs/partN.pt if there, else pretrained/partN.pt")
    parser.add_argument("--picture", type=Path, default=Path("runs/carry_line.png"), help="where Part 1's picture goes")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
