"""The theorem of Part 2, and the run of every case that proves it.

    n       a column sum, 0 to 2. The network's input weights are equal, so it sees two
            numbers as the 16 sums of their columns: 3¹⁶ cases for all 2³² pairs
    W, d    W_hh, and W_ih x + b_ih + b_hh; |d| is the sum of these terms' sizes
    a, h    W h + d as this run computes it in float64, and the next state, its relu
    w, c    weights and bias of the output
    D       bounds: no evaluation's state is further than D from h
    γ       γ_m = m 2⁻⁵³ / (1 - m 2⁻⁵³) for the m = H + 4 terms of a sum

An evaluation is what a machine computes from the network's float32 weights in float64:
in any order of summation, with fused multiply-adds or without, rounded to nearest, with
small numbers flushed to zero or not. Exact arithmetic is one, too. That what torch does
here on float64 tensors is one is trusted; Part 1's proof trusts Python's integers only.

THEOREM. Let D be 0 before the first step, and after each step, unit by unit,
    e = |W| (D (1 + γ) + 2γ h) + 2γ |d|,    D' = e where a > 0, else max(0, e - |a|).
If every logit of every case is on its side of zero by more than
    |w| (D (1 + γ) + 2γ h) + 2γ |c|,
then every evaluation writes the right digits, for every pair of numbers.

PROOF. Let another evaluation's state be within D of h. Exact arithmetic would take the
two states to sums that differ by |W| D at most. A sum of m products is off by at most
γ_m Σ|terms| (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section
3.1): here by γ (|W| h + |d|), there by γ (|W| (h + D) + |d|). Together that is e. A
relu lets no distance grow; where a is not above 0, h becomes 0, and the other state at
most e - |a|. Two logits differ likewise.  ∎

What the theorem leaves to the code: D itself is computed in float64, so each step's is
rounded up by the factor UP, which exceeds what a sum of 1004 terms, of the 1000 units
that `models` allows, can lose. Flushing costs less than TINY a step. Nothing overflows
if e < HUGE, as e >= 2γ Σ|terms|.
"""

import math
import os
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import torch

from dataset import to_integer
from models import DIGITS, WEIGHTS  # the network reads one digit more, a zero, first

UP, TINY, HUGE = 1 + 2.0**-40, 2.0**-800, 2.0**900

Exhaustion = namedtuple("Exhaustion", "cases unproven margin bound worst")


def exhaust(state_dict, device="cpu", rigorous=True, block=7, every=1, workers=None,
            report=None):
    """Run Part 2's network on all 3¹⁶ sequences of column sums.

    device    where to run
    rigorous  False: a plain run in float32, without bounds, in half of the time
    block     a batch is 3^block sequences that begin alike
    every     n runs only each n-th batch
    workers   batches at once; the number of cores, without it
    report    is called with the share that is done, after each batch

    Returns the number of cases, of those not proven (or, if not rigorous, not right),
    the least margin, the largest bound, and the worst of ten batches, as (margin,
    columns), worst first. The margin of a case is that of its least logit, less its
    bound; NaN if one is NaN, which proves nothing. Raises ValueError if the columns of
    the input weights differ.
    """
    net = Network(state_dict, device, rigorous)
    sums = torch.zeros(1, dtype=torch.long, device=device)
    beginnings, sums = _grow(net, net.step(net.start, 0), sums, DIGITS - block)

    def finish(first):
        """Unproven cases of a batch, the worst as (margin, columns), and the bound."""
        state, totals = beginnings[..., first : first + 1], sums[first : first + 1]
        state, totals = _grow(net, state, totals, block)
        margins = torch.full_like(totals, torch.inf, dtype=net.w.dtype)
        bound = torch.zeros_like(net.c)
        for place in range(DIGITS, -1, -1):  # of the sum's digits, highest first
            state = net.step(state, 0)
            logits, bounds = net.logits(state)
            sides = torch.where((totals >> place & 1).bool(), logits, -logits)
            margins = torch.minimum(margins, sides - bounds)  # NaN stays
            bound = torch.maximum(bound, bounds.max())
        margin, place = margins.min(0)
        columns = _columns(first, DIGITS - block) + _columns(place.item(), block)
        unproven = int((~(margins > 0)).sum())  # NaN is not above 0
        return unproven, (margin.item(), columns), bound.item()

    unproven, worst, bounds = 0, [], []
    firsts = range(0, len(sums), every)
    # A batch a thread of Python's: torch's own would wait for each other at each step.
    workers = workers or (os.cpu_count() if net.w.device.type == "cpu" else 1)
    with ThreadPoolExecutor(workers) as pool:
        for done, (count, case, bound) in enumerate(pool.map(finish, firsts), 1):
            unproven += count
            worst = sorted([*worst, case], key=_worst_first)[:10]
            bounds.append(bound)
            if report:
                report(done / len(firsts))
    bound = torch.tensor(bounds).max().item()
    return Exhaustion(len(firsts) * 3**block, unproven, worst[0][0], bound, worst)


class Network:
    """Steps of Part 2's network on many cases at once, with bounds if rigorous.

    A state is a tensor (2, H, N) of h and D for N cases, or (1, H, N) of h alone.
    """

    def __init__(self, state_dict, device, rigorous):
        precision = torch.float64 if rigorous else torch.float32
        weights = [state_dict[name].to(device, precision) for name in WEIGHTS]
        W_ih, self.W, b_ih, b_hh, self.w, self.c = weights
        if not torch.equal(W_ih[:, 0], W_ih[:, 1]):
            raise ValueError("the columns of its input weights differ, so that pairs"
                             " with the same column sums are different cases")
        m, column = len(self.W) + 4, W_ih[:, :1]
        self.gamma = m / (2**53 - m)
        self.drive = [n * column + (b_ih + b_hh)[:, None] for n in range(3)]
        biases = (b_ih.abs() + b_hh.abs())[:, None]
        self.slack = [2 * self.gamma * (n * column.abs() + biases) + TINY
                      for n in range(3)]
        self.logit_slack = 2 * self.gamma * self.c.abs() + TINY
        self.start = torch.zeros_like(column).expand(1 + rigorous, -1, -1)

    def step(self, state, column):
        """Next state, after reading a column sum."""
        a = torch.addmm(self.drive[column], self.W, state[0])
        if len(state) == 1:
            return a.relu()[None]
        e = self._distance(self.W, state, self.slack[column])
        return torch.stack((a, torch.where(a > 0, e, e + a))).relu()

    def logits(self, state):
        """Logits (N,), and their bounds, which are 0 if not rigorous."""
        logits = torch.addmm(self.c[:, None], self.w, state[0])[0]
        if len(state) == 1:
            return logits, torch.zeros_like(logits)
        return logits, self._distance(self.w, state, self.logit_slack[:, None])[0]

    def _distance(self, weights, state, slack):
        h, D = state
        sizes = torch.add(D * (1 + self.gamma), h, alpha=2 * self.gamma)
        e = torch.addmm(slack, weights.abs(), sizes).mul_(UP)
        return e.masked_fill_(~(e < HUGE), torch.inf)


def _grow(net, state, sums, columns):
    """All continuations by so many columns; the latest column varies slowest."""
    for _ in range(columns):
        state = torch.cat([net.step(state, n) for n in range(3)], dim=2)
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
