"""The theorem of Part 2, and the run of every case that proves it.

    n       a column sum, 0 to 2. The network's input weights are equal, so it sees two
            numbers as the 16 sums of their columns: 3¹⁶ cases for all 2³² pairs
    W, d    W_hh, and W_ih x + b_ih + b_hh; |d| is the sum of these terms' sizes
    a, h    W h + d as this run computes it in float64, and the next state, its relu
    w, c    weights and bias of the output
    γ       γ_m = m 2⁻⁵³ / (1 - m 2⁻⁵³) for the m = H + 4 terms of a sum
    B       bounds: no evaluation's state is further than 2γ B from h

An evaluation is what a machine computes from the network's float32 weights in float64:
in any order of summation, with fused multiply-adds or without, rounded to nearest, with
small numbers flushed to zero or not. Exact arithmetic is one, too. That what torch does
here on float64 tensors is one is trusted; Part 1's proof trusts Python's integers only.

THEOREM. Let B be 0 before the first step, and after each step, unit by unit,
    e = (1 + γ) |W| (B + h) + |d|,    B' = e where a > 0, else max(0, e - |a| / 2γ).
If every logit of every case is on its side of zero by more than
    2γ ((1 + γ) |w| (B + h) + |c|),
then every evaluation writes the right digits, for every pair of numbers.

PROOF. Let another evaluation's state be within D = 2γ B of h. Exact arithmetic would
take the two states to sums that differ by |W| D at most. A sum of m products is off by
at most γ Σ|terms| (Higham, Accuracy and Stability of Numerical Algorithms, 2002,
section 3.1): here by γ (|W| h + |d|), there by γ (|W| (h + D) + |d|). Together that is
at most 2γ e. A relu lets no distance grow; where a is not above 0, h becomes 0, and the
other state at most 2γ e - |a|. Two logits differ likewise.  ∎

FLOAT32 BOUNDS. The states h are float64. A step hands on S >= B + h in float32, so that
the next e takes one product. Let a' be a, rounded, and f be |W| S + |d|, computed with
weights and |d| that are larger by the factor UP = 1 + 2⁻¹⁴. Then
    S' = max(0, f + a') where a' > 0, else max(0, f + a' / 2γ)
is at least B' + max(0, a). For let u = 2⁻²⁴, by which a float32 operation is off at
most, relative to its result; results below 2⁻¹²⁶ come later. No term of f is negative,
none passes through more than H + 3 operations, and `models` allows H <= 1000, so
    f >= UP (1 - u)¹⁰⁰³ e / (1 + γ) >= (1 + 8u) e.
Where a > 0, it is at most (1 + γ) e, so
    S' >= (1 - u) (f + (1 - u) a) >= (1 + 6u) e + (1 - 2u) a >= e + a.
Else let y = |a| / 2γ. Where y >= e, B' = 0. Where y < e, with three roundings of y,
    S' >= (1 - u) (f - (1 + 4u) y) >= (1 + 6u) e - (1 + 4u) y >= e - y.
A result below 2⁻¹²⁶, rounded or flushed, is off by 2⁻¹²⁶ at most. That takes less than
2⁻⁹⁹ from a' / 2γ, as 2γ > 2⁻⁵⁰; from f, 2⁻¹²⁶ an operation, and 2⁻¹²⁶ Σ|W| for the S
that it reads. TINY (1 + Σ|W|), added to |d|, is more, and more than what float64 loses
below 2⁻¹⁰²². SMALL, added to all weights, keeps them from being flushed themselves, and
above 0: so after an S that is infinite or NaN all others are, and all bounds, and
nothing is proven. If S is finite, no evaluation overflows, as Σ|terms| <= e. Logits are
bounded like e. Float32 is IEEE's, flushed or not; TF32 and bfloat16 are not, and
`models.prepare_device` turns them off.
"""

import math
import os
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import torch
from torch.nn.functional import leaky_relu

from dataset import to_integer
from models import DIGITS, WEIGHTS  # the network reads one digit more, a zero, first

UP, TINY, SMALL = 1 + 2.0**-14, 2.0**-90, 2.0**-120

Exhaustion = namedtuple("Exhaustion", "cases unproven margin bound worst")


def exhaust(state_dict, device="cpu", rigorous=True, block=7, every=1, workers=None,
            report=None):
    """Run Part 2's network on all 3¹⁶ sequences of column sums.

    device    where to run
    rigorous  False: a plain run in float32, without bounds, in a third of the time
    block     a batch is 3^block sequences that begin alike
    every     n runs only each n-th batch
    workers   batches at once; the cores that this process may use, without it
    report    is called with the share that is done, after each batch

    Returns the number of cases, of those not proven (or, if not rigorous, not right),
    the least margin, the largest bound, and the worst of ten batches, as (margin,
    columns), worst first. The margin of a case is that of its least logit, less its
    bound; NaN if one is NaN, which proves nothing. Raises ValueError if the columns of
    the input weights differ.
    """
    net = Network(state_dict, device, rigorous)
    sums = torch.zeros(1, dtype=torch.long, device=device)
    places = torch.arange(DIGITS, -1, -1, device=device)[:, None]
    beginnings, sums = _grow(net, net.step(net.start, 0), sums, DIGITS - block)

    @torch.inference_mode()
    def finish(first):
        """Unproven cases of a batch, the worst as (margin, columns), and the bound."""
        state = [part[:, first : first + 1] for part in beginnings]
        state, totals = _grow(net, state, sums[first : first + 1], block)
        found = []
        for _ in places:  # of the sum's digits, highest first
            state = net.step(state, 0)
            found.append(net.logits(state))
        logits, bounds = map(torch.cat, zip(*found))
        sides = torch.where((totals >> places & 1).bool(), logits, -logits)
        margins = (sides - bounds).amin(0)  # NaN stays
        margin, place = margins.min(0)
        columns = _columns(first, DIGITS - block) + _columns(place.item(), block)
        unproven = int((~(margins > 0)).sum())  # NaN is not above 0
        return unproven, (margin.item(), columns), bounds.max().item()

    unproven, worst, bounds = 0, [], []
    firsts = range(0, len(sums), every)
    # A batch a thread of Python's: torch's own would wait for each other at each step.
    workers = workers or (usable_cores() if sums.device.type == "cpu" else 1)
    with ThreadPoolExecutor(workers) as pool:
        for done, (count, case, bound) in enumerate(pool.map(finish, firsts), 1):
            unproven += count
            worst = sorted([*worst, case], key=_worst_first)[:10]
            bounds.append(bound)
            if report:
                report(done / len(firsts))
    bound = torch.tensor(bounds, dtype=torch.float64).max().item()
    return Exhaustion(len(firsts) * 3**block, unproven, worst[0][0], bound, worst)


def usable_cores():
    """Number of cores that this process may use: a machine may have more."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Network:
    """Steps of Part 2's network on many cases at once, with bounds if rigorous.

    A state is a list of tensors (H, N) for N cases: of h in float64 and S in float32,
    or of h in float32 alone.
    """

    def __init__(self, state_dict, device, rigorous):
        weights = [state_dict[name].to(device, torch.float64) for name in WEIGHTS]
        W_ih, W, b_ih, b_hh, w, c = weights
        if not torch.equal(W_ih[:, 0], W_ih[:, 1]):
            raise ValueError("the columns of its input weights differ, so that pairs"
                             " with the same column sums are different cases")
        m, column, biases = len(W) + 4, W_ih[:, :1], torch.stack((b_ih, b_hh), 1)
        self.unit = 2 * m / (2**53 - m)  # 2γ, in which bounds are counted
        self.rigorous = rigorous
        self.steps = [self._layer(W, torch.cat((n * column, biases), 1))
                      for n in range(3)]
        self.output = self._layer(w, c[:, None])
        self.start = [torch.zeros_like(x[:, :1]) for _, x in self.steps[0]]

    def _layer(self, weights, terms):
        """Sums of terms, and weights, by which h becomes a, and S becomes f."""
        total = terms.sum(1, keepdim=True)
        if not self.rigorous:
            return [(total.float(), weights.float())]
        sizes = weights.abs()
        tiny = TINY * (1 + sizes.sum(1, keepdim=True))
        slack = terms.abs().sum(1, keepdim=True) + tiny
        return [(total, weights), ((UP * slack).float(), (UP * sizes + SMALL).float())]

    def step(self, state, column):
        """Next state, after reading a column sum."""
        a, *f = self._apply(self.steps[column], state)
        S = [leaky_relu(a.float(), 1 / self.unit, inplace=True).add_(f).relu_()
             for f in f]
        return [a.relu_(), *S]

    def logits(self, state):
        """Logits (1, N), and their bounds, which are 0 if not rigorous."""
        logits, *f = self._apply(self.output, state)
        return logits, self.unit * f[0].double() if f else torch.zeros_like(logits)

    def _apply(self, layer, state):
        return [torch.addmm(d, W, h) for (d, W), h in zip(layer, state)]


def _grow(net, state, sums, columns):
    """All continuations by so many columns; the latest column varies slowest."""
    for _ in range(columns):
        parts = zip(*(net.step(state, n) for n in range(3)))
        state = [torch.cat(part, dim=1) for part in parts]
        sums = torch.cat([2 * sums + n for n in range(3)])
    return state, sums


def _columns(place, columns):
    """Column sums that led to a place in the order of `_grow`."""
    return tuple(place // 3**k % 3 for k in range(columns))


def _worst_first(case):
    margin, _ = case
    return not math.isnan(margin), margin


def as_pair(columns):
    """Two integers with these column sums, highest first."""
    rows = ([int(n >= least) for n in columns] for least in (1, 2))
    return tuple(to_integer(digits, "highest") for digits in rows)


def as_inputs(columns):
    """Inputs (N, 17, 2) of Part 2's network with these column sums (N, 16)."""
    columns = torch.nn.functional.pad(columns, (1, 0))
    return torch.stack((columns >= 1, columns >= 2), dim=2).float()
