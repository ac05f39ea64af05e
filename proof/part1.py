"""The theorem of Part 1, a checker of what it supposes, and a finder of intervals.

The theorem turns "this network adds two integers of any length" into eight checks. The
checker does them in exact arithmetic and trusts nobody. The finder proposes intervals.

    k       carry, 0 or 1; before the first step it is 0
    x       pair of digits that a step reads
    n       x₁ + x₂ + k: the sum's digit is n mod 2, the next carry n div 2
    h       hidden state, as the computer has it; before the first step it is 0
    d       W_ih x + b_ih + b_hh, what drives the units under x
    u, v    two vectors, and E the rest of the recurrent matrix: W_hh = u vᵀ + E
    s       v·h, the "carry line": all of h that acts on the next step, up to E h
    r       relu(d + u s), the next state up to E h and rounding
    I₀, I₁  intervals of s, one for each carry
    H       bounds of the states: 0 <= h_i <= H_i for every unit i
    δ       bounds of the next state's error: |h_i - r_i| <= δ_i
    ρ       bounds of float32 errors: ρ_i of unit i before its relu, ρ_w of the logit

The network is h <- relu(W_ih x + b_ih + b_hh + W_hh h), with the logit w·h + c.

THEOREM. Suppose that, for each carry k, each pair x and each s in I_k,
    1. 0 is in I₀;
    2. v·r ± Σ_i |v_i| δ_i is in the interval of the next carry;
    3. w·r + c ± (Σ_i |w_i| δ_i + ρ_w) has the sign of the digit: above 0 for a 1;
    4. r_i + δ_i <= H_i for every unit i, where δ_i = Σ_j |E_ij| H_j + ρ_i;
    5. the terms of every float32 sum, as absolute values, add up to less than 2¹²⁷, so
       nothing overflows (see `rounding`, also for ρ).
Then every digit of the sum of any two non-negative integers, of any length, is right.
All of this is piecewise linear in s, so the ends and kinks of each I_k suffice: eight
checks, one for each k and x.

PROOF, by induction over the steps. Let 0 <= h <= H, and s = v·h in I_k for the carry k;
before the first step condition 1 says so. Exact arithmetic would give unit i the value
d_i + u_i s + Σ_j E_ij h_j before its relu. By 5 nothing overflows, so the computer is
off by ρ_i at most, and by δ_i at most from d_i + u_i s. A relu lets no error grow, so
|h_i - r_i| <= δ_i for the next h. By 2 the next s is in the interval of the next carry,
by 3 the logit has the right sign, and by 4 the next h is within its bounds.  ∎

ASSUMPTIONS. Arithmetic is IEEE float32, rounded to nearest, or better. Sums may be
taken in any order, with fused multiply-adds or without, and numbers below 2⁻¹²⁶ may be
flushed to zero. TF32 and bfloat16 are not float32: `models.prepare_device` turns them
off, and refuses a GPU that computes in TF32 nevertheless.

What multiplies a unit by a power of two (and divides what reads it by as much) does not
change the network by a bit. Nor does it change the verdict: u and v come from an entry
of W_hh's diagonal, which stays, and nothing is absolute but float32's own limits.
"""

from array import array
from collections import namedtuple
from fractions import Fraction
from math import ceil, fsum, isfinite
from operator import mul

PAIRS = ((0, 0), (0, 1), (1, 0), (1, 1))
WEIGHTS = ("rnn.weight_ih_l0", "rnn.weight_hh_l0", "rnn.bias_ih_l0", "rnn.bias_hh_l0",
           "output.weight", "output.bias")
QUANTUM = Fraction(1, 2**149)  # every float32 number is a multiple of it
FINE = Fraction(1, 2**200)  # bounds of states are rounded up to a multiple of it
TINY, HUGE = Fraction(1, 2**126), 2**127
MARGINS = (2**-6, 2**-9, 2**-12, 2**-15, 2**-18)  # relative to s, tried in turn
ROUNDS = 300  # of the finder, for each margin

Verdict = namedtuple("Verdict", "proven intervals cases reason")


def lists(weights):
    """Weights as this file takes them, nested lists, from tensors or NumPy arrays."""
    return {name: weight.tolist() for name, weight in weights.items()}


class Case(namedtuple("Case", "carry pair image target stays logits digit right")):
    """One of the eight checks: of a carry and a pair of digits.

    image   (low, high) of the next s; it `stays` if in the interval of carry `target`
    logits  (low, high) of the logit; it is `right` if on the side of zero of `digit`
    """

    @property
    def holds(self):
        return self.stays and self.right


# The checker: exact, and it trusts nobody.


def check(weights, intervals):
    """Verdict for two intervals of s, (low, high) of carry 0 and of carry 1.

    `weights` maps the names of a checkpoint's weights to nested lists of floats.
    Raises ValueError if one is not a finite float32 number, if an interval is empty, or
    if 0, where s starts, is not in the first.
    """
    return _check(Network(weights), intervals)


def _check(net, intervals):
    intervals = tuple(tuple(map(Fraction, interval)) for interval in intervals)
    lows, highs = zip(*intervals)
    if not (lows[0] <= 0 <= highs[0] and lows[1] <= highs[1]):
        raise ValueError("the first interval must hold 0, and neither may be empty")
    largest = net.largest(min(lows), max(highs))
    H = [r + 2 * δ for r, δ in zip(largest, net.errors(largest)[0])]  # a guess, checked
    δ, sizes = net.errors(H)
    (ρ_w,), logit_size = rounding(net.logit_terms, [1, *H])
    if max(sizes + logit_size) >= HUGE:
        return Verdict(False, intervals, (), "a sum in float32 may overflow")
    if any(r + error > bound for r, error, bound in zip(largest, δ, H)):
        reason = "the recurrent matrix is too far from rank one"
        return Verdict(False, intervals, (), reason)
    rooms = dot(map(abs, net.v), δ), dot(map(abs, net.w), δ) + ρ_w
    cases = tuple(_case(net, intervals, k, x, rooms) for k in (0, 1) for x in PAIRS)
    failed = sum(not case.holds for case in cases)
    reason = f"{failed} of the eight checks fail{'s' * (failed == 1)}"
    return Verdict(not failed, intervals, cases, reason if failed else None)


def _case(net, intervals, k, x, rooms):
    (low, high), (least, greatest) = (
        (low - room, high + room)
        for (low, high), room in zip(net.respond(x, *intervals[k]), rooms)
    )
    target, digit = divmod(sum(x) + k, 2)
    stays = intervals[target][0] <= low and high <= intervals[target][1]
    right = least > 0 if digit else greatest < 0
    return Case(k, x, (low, high), target, stays, (least, greatest), digit, right)


class Network:
    """A network in exact numbers: fractions, but integers where they are many.

    drives       d of each pair of digits
    E            |W_hh - u vᵀ|, in units of E_unit
    unit_terms   rows of |weights| in quanta, of all that each unit sums
    logit_terms  the one such row of the logit
    """

    def __init__(self, weights):
        W_ih, W_hh, b_ih, b_hh, (w,), c = (_quanta(weights[name]) for name in WEIGHTS)
        rows = list(zip(W_ih, zip(b_ih, b_hh), W_hh))
        self.drives = {
            x: [QUANTUM * (dot(row, x) + sum(biases)) for row, biases, _ in rows]
            for x in PAIRS
        }
        u, v = split(W_hh)
        self.u, self.v = u, [QUANTUM * entry for entry in v]
        self.w, self.c = [QUANTUM * entry for entry in w], QUANTUM * c[0]
        place = _pivot(W_hh)
        pivot = W_hh[place][place] or 1
        self.E_unit = QUANTUM / abs(pivot)
        self.E = [
            [abs(pivot * W - row[place] * v_j) for W, v_j in zip(row, W_hh[place])]
            for row in W_hh
        ]
        self.unit_terms = [[abs(term) for part in row for term in part] for row in rows]
        self.logit_terms = [[abs(term) for term in (*c, *w)]]

    def respond(self, x, low, high):
        """(low, high) of v·r, and of w·r + c, for s from low to high."""
        d = self.drives[x]
        image = extremes(self.v, d, self.u, low, high)
        least, greatest = extremes(self.w, d, self.u, low, high)
        return image, (least + self.c, greatest + self.c)

    def largest(self, low, high):
        """Largest r_i of each unit, for all pairs of digits and s from low to high."""
        d = [max(values) for values in zip(*self.drives.values())]
        ends = [(d_i + u_i * low, d_i + u_i * high) for d_i, u_i in zip(d, self.u)]
        return [max(0, *pair) for pair in ends]

    def errors(self, H):
        """δ of each unit, and Σ|terms| of each, for states within the bounds H."""
        ρ, sizes = rounding(self.unit_terms, [1, 1, 1, 1, *H])
        rest = products(self.E, self.E_unit, H)
        return [a + b for a, b in zip(rest, ρ)], sizes


def rounding(rows, bounds):
    """ρ and Σ|terms| of float32 sums of products: rows of quanta times their bounds.

    A sum of n products, in any order, fused or not, is off by γ_n Σ|terms| at most,
    γ_n = n 2⁻²⁴ / (1 - n 2⁻²⁴), if nothing overflows (Higham, Accuracy and Stability of
    Numerical Algorithms, 2002, section 3.1). Flushing a product a b, what it is added
    to, or a or b before, is off by 2⁻¹²⁶ (3 + |a| + |b|) at most; later roundings at
    most double that. Overflow is excluded by Σ|terms| < 2¹²⁷: no partial sum, with its
    errors, is twice as large.
    """
    n, total = len(bounds), sum(bounds)
    γ = Fraction(n, 2**24 - n)
    sizes = products(rows, QUANTUM, bounds)
    flushed = [2 * TINY * (3 * n + QUANTUM * sum(row) + total) for row in rows]
    return [γ * size + tiny for size, tiny in zip(sizes, flushed)], sizes


def products(rows, unit, bounds):
    """Products of rows of integers, which count units, and bounds, rounded up."""
    bounds = [ceil(bound / FINE) for bound in bounds]
    return [sum(map(mul, row, bounds)) * unit * FINE for row in rows]


def split(W_hh):
    """u and v, in fractions: u vᵀ has a row and a column of W_hh, to the last bit.

    They are those of the largest entry of its diagonal.
    """
    place = _pivot(W_hh)
    pivot = Fraction(W_hh[place][place]) or 1
    return [Fraction(row[place]) / pivot for row in W_hh], [*map(Fraction, W_hh[place])]


def _pivot(W_hh):
    return max(range(len(W_hh)), key=lambda i: abs(W_hh[i][i]))


def extremes(a, d, u, low, high):
    """Least and greatest Σ a_i relu(d_i + u_i s) for s from low to high.

    Both are at an end or at a kink, where a unit switches: in between, it is linear.
    """
    level = slope = 0
    kinks = []
    for a_i, d_i, u_i in zip(a, d, u):
        at_low = d_i + u_i * low
        if at_low > 0 or at_low == 0 < u_i:
            level, slope = level + a_i * d_i, slope + a_i * u_i
        if u_i and low < (kink := -d_i / u_i) < high:
            sign = 1 if u_i > 0 else -1
            kinks.append((kink, sign * a_i * d_i, sign * a_i * u_i))
    values = [level + slope * low]
    for kink, level_change, slope_change in sorted(kinks):
        values.append(level + slope * kink)
        level, slope = level + level_change, slope + slope_change
    values.append(level + slope * high)
    return min(values), max(values)


def dot(a, b):
    return sum(map(mul, a, b))


def _quanta(values):
    """Nested lists of floats as integers that count quanta."""
    if isinstance(values[0], list):
        return [_quanta(row) for row in values]
    if not all(map(isfinite, values)) or array("f", values).tolist() != list(values):
        raise ValueError("a weight is not a finite float32 number")
    ratios = [value.as_integer_ratio() for value in values]
    return [numerator * (2**149 // denominator) for numerator, denominator in ratios]


# The finder: it may be clever, for the checker has the last word.


def prove(weights):
    """Look for two intervals that `check` accepts, and return its verdict.

    Takes and raises what `check` does. `intervals` is None if s grows without bound.
    """
    net = Network(weights)
    u, v = ([float(entry) for entry in vector] for vector in (net.u, net.v))
    drives = {x: [float(entry) for entry in d] for x, d in net.drives.items()}
    verdict = Verdict(False, None, (), "what the network remembers grows without bound")
    for margin in MARGINS:
        intervals = grow(u, v, drives, margin)
        if intervals:
            verdict = _check(net, intervals)
        if verdict.proven:
            break
    return verdict


def grow(u, v, drives, margin):
    """Intervals of carry 0 and 1 that grow from {0} until all images fit.

    Every image gets a margin on both sides, relative to the largest |v|·r after one
    step, for `check` asks for room. Where there are no such intervals they grow until
    the rounds are used up, when `check` will fail, or beyond float32: then None.
    """
    largest = [max(d_i, *others, 0) for d_i, *others in zip(*drives.values())]
    margin *= fsum(map(mul, map(abs, v), largest))  # rounded alike by every Python
    intervals = [(0.0, 0.0), None]
    for _ in range(ROUNDS):
        before = list(intervals)
        for k in (0, 1):
            for x in PAIRS if intervals[k] else ():
                low, high = extremes(v, drives[x], u, *intervals[k])
                target = (sum(x) + k) // 2
                image = low - margin, high + margin
                old = intervals[target] or image
                intervals[target] = min(old[0], image[0]), max(old[1], image[1])
        ends = [end for interval in intervals for end in interval]
        if not all(abs(end) < HUGE for end in ends):
            return None
        ends_before = [end for interval in before if interval for end in interval]
        moves = [abs(a - b) for a, b in zip(ends, ends_before)]
        if len(moves) == 4 and max(moves) <= margin / 100:
            break
    return intervals
