"""Prove that a trained network adds: Part 1 at any length, Part 2 on all pairs.

    python certify.py              runs/part1.pt, or else the shipped one: a second
    python certify.py --part 2     runs/part2.pt, or else the shipped one: minutes

The theorems stand in proof/part1.py, any_rank.py and part2.py, of which any_rank.py is
for networks of Part 1 that are not of rank one. Status 0 if proven, 1 if not.
"""

import argparse
import sys
import time
from functools import partial
from pathlib import Path

from dataset import to_digits  # first: it tells what to do if torch is missing

from deploy import add, check, default_model, describe
from models import fingerprint, load, prepare_device, user_errors
from proof import part1, part2
from proof.search import find_counterexample

try:
    from proof.picture import draw
except Exception as error:  # matplotlib is missing, broken, or MPLBACKEND names none
    draw, no_picture = None, error
try:
    from proof import find_any_rank
except ImportError:  # of numpy, which matplotlib brings
    find_any_rank = None


def certify_part1(model, weights, picture, limit):
    """Print the verdict and the eight checks, and draw them; True if it is proven."""
    weights = {name: weight.tolist() for name, weight in weights.items()}
    verdict = part1.prove(weights)
    if verdict.proven:
        print("proven    every digit of the sum of any two integers is right")
        print("theorem   proof/part1.py, with a recurrent matrix of rank one")
    else:
        found = find_counterexample(model)
        if not found and prove_any_rank(weights, limit):
            return True
        print(f"not proven: {verdict.reason}")
        print_counterexample(found)
    if verdict.cases:
        print_cases(verdict)
        try_to_draw(weights, verdict, picture)
    return verdict.proven


def prove_any_rank(weights, limit):
    """Look for a proof that needs no rank one, and print it; True if there is one."""
    tell = partial(print, "any rank:", file=sys.stderr, flush=True)
    if not find_any_rank:
        tell("numpy is missing")
        return False
    deadline = time.perf_counter() + limit
    verdict, certificate = find_any_rank.prove(weights, deadline, tell, Progress)
    if verdict.proven:
        print("proven    every digit of the sum of any two integers is right")
        sets = len(certificate.totals)
        print(f"theorem   proof/any_rank.py, with {sets} sets of states, any rank")
        print(f"cases     {verdict.pushes} zonotopes, until all are inside the sets")
        print(f"margin    {verdict.logit:.4f}, of the least logit, after rounding")
    else:
        tell(verdict.reason)
    return verdict.proven


def print_counterexample(found):
    if found:
        a, b, place = found
        print(f"counterexample: digit {place} (of value 2^{place}) is wrong in\n"
              f"python deploy.py {a:#x} {b:#x}")
    else:
        print("no counterexample found: it may be right, or wrong beyond the search")


def print_cases(verdict):
    """Print the two intervals, and the table of the eight checks."""
    print()
    for k, (low, high) in enumerate(verdict.intervals):
        print(f"carry {k}   s in [{float(low):.6g}, {float(high):.6g}]")
    print("\ncarry  reads  next s in                 of carry  logit in"
          "                  writes  holds")
    for case in verdict.cases:
        image, logits = (f"[{float(low):10.5g}, {float(high):10.5g}]"
                         for low, high in (case.image, case.logits))
        a, b = case.pair
        faults = ["s leaves the interval"] * (not case.stays)
        faults += ["wrong sign"] * (not case.right)
        print(f"{case.carry:<5}  {a} {b}    {image}  {case.target:<8}  {logits}"
              f"  {case.digit:<6}  {'no: ' + ', '.join(faults) if faults else 'yes'}")
    print()


def try_to_draw(weights, verdict, picture):
    """Draw the carry line, or say why not: the verdict is worth more."""
    try:
        if not draw:
            raise no_picture
        draw(weights, verdict, picture)
        print(f"wrote {picture}")
    except Exception as error:  # a broken style raises anything
        print(f"no picture: {picture} was not written ({error})", file=sys.stderr)


def certify_part2(model, weights, device):
    """Run every case of Part 2, and print what is proven; True if all of it is."""
    try:
        result = part2.exhaust(weights, device, report=Progress())
    except ValueError as error:
        print(f"not proven: {error}")
        return False
    total = f"{4**part2.DIGITS} sums of two {part2.DIGITS}-digit numbers"
    if result.unproven:
        print(f"not proven: {result.unproven} of {result.cases} cases")
        _, columns = result.worst[0]
        a, b = part2.as_pair(columns)
        digits = [to_digits(n, part2.DIGITS + 1, model.order) for n in (a, b, a + b)]
        if check(add(model, *digits[:2]), digits[2])[0] < 100:
            print(f"counterexample:\npython deploy.py --part 2 {a} {b}")
    else:
        print(f"proven    all {total} are right, in any float64 evaluation")
    print(f"cases     {result.cases} sequences of column sums, for all {total}")
    print(f"margin    {result.margin:.4f}, of the least logit, after rounding errors")
    print(f"rounding  no float64 logit is off by more than {result.bound:.1e}")
    return not result.unproven


class Progress:
    """Shows the share that is done: as a bar on a terminal, else a line a tenth."""

    def __init__(self):
        self.start, self.tenth = time.perf_counter(), 0

    def __call__(self, share):
        left = (time.perf_counter() - self.start) * (1 - share) / share
        text = f"{100 * share:5.1f} %  {left:4.0f} s to go"
        if sys.stderr.isatty():
            bar = "#" * int(30 * share)
            end = "" if share < 1 else "\n"
            print(f"\r[{bar:<30}] {text} ", end=end, file=sys.stderr, flush=True)
        elif int(10 * share) > self.tenth:
            self.tenth = int(10 * share)
            print(text, file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--part", type=int, choices=(1, 2), default=1, help="default: 1")
    add("--model", type=Path, help="default: runs/partN.pt, or else the shipped one")
    add("--picture", type=Path, default=Path("runs", "carry_line.png"),
        help="of Part 1, PNG or PDF by its name (default: %(default)s)")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto",
        help="to run Part 2's cases on")
    add("--limit", type=int, default=120, metavar="SECONDS",
        help="for a proof that needs no rank one (default: %(default)s)")
    arguments = parser.parse_args()
    part = arguments.part
    with user_errors(parser):
        device = prepare_device(arguments.device if part == 2 else "cpu")
        path = arguments.model or default_model(part)
        model, checkpoint = load(path, part)
        weights = checkpoint["state_dict"]
        print("model    ", describe(path, checkpoint))
        print(f"weights   {fingerprint(weights)[:16]}", flush=True)
        if part == 1:
            return 1 - certify_part1(model, weights, arguments.picture, arguments.limit)
        return 1 - certify_part2(model, weights, device)


if __name__ == "__main__":
    sys.exit(main())
