"""Prove that a trained network adds: Part 1 at any length, Part 2 on all pairs.

    python certify.py              runs/part1.pt, or else the shipped one: a second
    python certify.py --part 2     runs/part2.pt, or else the shipped one: minutes

The theorems stand in proof/part1.py, any_rank.py and part2.py; any_rank.py is for
networks of Part 1 that are not of rank one. Status 0 if proven, 1 if not, 2 if there is
no verdict.
"""

import argparse
import math
import os
import re
import shlex
import shutil
import sys
import time
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from functools import partial
from pathlib import Path

if __name__ == "__main__":  # status 1 means not proven: an import that fails gives 2
    sys.excepthook = lambda *error: sys.exit(sys.__excepthook__(*error) or 2)

import torch

from deploy import SHIPPED, default_model, describe
from models import UserError, fingerprint, load, prepare_device, user_errors
from proof import find_any_rank, part1, part2
from proof.search import find_counterexample, wrong_place


def certify_part1(model, path, weights, picture, limit):
    """Print the verdict and the eight checks, and draw them; True if it is proven."""
    weights = part1.lists(weights)
    verdict = part1.prove(weights)
    if verdict.proven:
        print_proven("proof/part1.py, with a recurrent matrix of rank one")
    else:
        found = find_counterexample(model)
        if not found and prove_any_rank(weights, limit):
            return True
        print(f"not proven: {verdict.reason}")
        print_counterexample(1, path, *(found or ()))
    if verdict.cases:
        print_cases(verdict)
        try_to_draw(weights, verdict, picture)
    return verdict.proven


def prove_any_rank(weights, limit):
    """Look for a proof that needs no rank one, and print it; True if there is one."""
    tell = partial(print, "any rank:", file=sys.stderr, flush=True)
    deadline = time.perf_counter() + limit
    verdict, certificate = find_any_rank.prove(weights, deadline, tell, Progress)
    if verdict.proven:
        sets = len(certificate.totals)
        print_proven(f"proof/any_rank.py, with {sets} sets of states, any rank")
        print(f"cases     {verdict.pushes} zonotopes, until all are inside the sets")
        margin = round_down(verdict.logit, 4)
        print(f"margin    {margin:.4g}, of the least logit, after rounding")
    else:
        tell(verdict.reason)
    return verdict.proven


def print_proven(theorem):
    print("proven    every digit of the sum of any two non-negative integers is right")
    print("theorem  ", theorem)


def print_counterexample(part, path, a=None, b=None, place=None):
    """Print the command that shows a wrong digit, or that none was found."""
    if a is None:
        print("no counterexample found: it may be right, or wrong beyond the search")
    else:
        print(f"counterexample: digit {place} (of value 2^{place}) is wrong in")
        print(deploy_command(part, path, a, b))


def deploy_command(part, path, a, b):
    """Command that adds with this network from the current folder, to be pasted."""
    python, script = sys.executable, SHIPPED.with_name("deploy.py")
    found = shutil.which("python")
    if found and os.path.normcase(found) == os.path.normcase(python):
        python = "python"
    here = Path.cwd()
    script = script.relative_to(here) if script.is_relative_to(here) else script
    words = [python, str(script)]
    if part == 2:
        words += ["--part", "2"]
    default = default_model(part)
    if not (default.exists() and os.path.samefile(path, default)):
        words.append(f"--model={path}")  # in one word, as a path may start with - or @
    if torch.cuda.is_available():
        words += ["--device", "cpu"]  # a GPU rounds otherwise
    return " ".join(map(quote, [*words, f"{a:#x}", f"{b:#x}"]))


def quote(word):
    """A word as a shell reads it. Windows knows double quotes only."""
    if os.name != "nt":
        return shlex.quote(word)
    return word if re.fullmatch(r"[\w.:/\\=-]+", word) else f'"{word}"'


def round_down(number, digits):
    """Largest number of so many decimal digits that is not above another."""
    return _rounded(number, digits, ROUND_FLOOR)


def round_up(number, digits):
    """Smallest number of so many decimal digits that is not below another."""
    return _rounded(number, digits, ROUND_CEILING)


def _rounded(number, digits, direction):
    if not math.isfinite(number):
        return number
    ratio = Fraction(number)
    context = Context(prec=digits, rounding=direction)
    return float(context.divide(Decimal(ratio.numerator), Decimal(ratio.denominator)))


def print_cases(verdict):
    """Print the two intervals, and the table of the eight checks."""
    print()
    for k, (low, high) in enumerate(verdict.intervals):
        print(f"carry {k}   s in [{round_down(low, 6):.6g}, {round_up(high, 6):.6g}]")
    print("\ncarry  reads  next s in                 of carry  logit in"
          "                  writes  holds")
    for case in verdict.cases:
        image, logits = (f"[{round_down(low, 6):10.6g}, {round_up(high, 6):10.6g}]"
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
        from proof.picture import draw  # here, as matplotlib may fail at once

        draw(weights, verdict, picture)
        print(f"wrote {picture}")
    except Exception as error:  # a full disk, or what matplotlib comes up with
        print(f"no picture: {picture} was not written ({error})", file=sys.stderr)


def certify_part2(model, path, weights, device):
    """Run every case of Part 2, and print what is proven; True if all of it is."""
    try:
        result = part2.exhaust(weights, device, report=Progress())
    except ValueError as error:
        print(f"not proven: {error}")
        return False
    total = f"{4**part2.DIGITS} sums of two {part2.DIGITS}-digit numbers"
    if result.unproven:
        print(f"not proven: {result.unproven} of {result.cases} cases")
        print_counterexample(2, path, *wrong_sum(model, result.worst))
    else:
        print(f"proven    all {total} are right, in any float64 evaluation")
    print(f"cases     {result.cases} sequences of column sums, for all {total}")
    margin = math.nextafter(result.margin, -math.inf)  # as its subtraction may round
    margin, bound = round_down(margin, 4), round_up(result.bound, 2)
    print(f"margin    {margin:.4g}, of the least logit, after rounding errors")
    print(f"rounding  no float64 logit is off by more than {bound:.1e}")
    return not result.unproven


def wrong_sum(model, worst):
    """Two integers and the place of a wrong digit, or () if the worst are right."""
    for _, columns in worst:
        a, b = part2.as_pair(columns)
        place = wrong_place(model, a, b, part2.DIGITS + 1)
        if place is not None:
            return a, b, place
    return ()


class Progress:
    """Shows the share that is done and the time to go, on stderr.

    A terminal gets a bar; a pipe or file a line at the first per cent and each tenth.
    """

    def __init__(self):
        self.start, self.next = time.perf_counter(), 0.01

    def __call__(self, share):
        left = (time.perf_counter() - self.start) * (1 - share) / share
        text = f"{100 * share:5.1f} %  {left:4.0f} s to go"
        if sys.stderr.isatty():
            bar = "#" * int(30 * share)
            end = "" if share < 1 else "\n"
            print(f"\r[{bar:<30}] {text} ", end=end, file=sys.stderr, flush=True)
        elif share >= self.next:
            self.next = (int(10 * share) + 1) / 10
            print(text, file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    option = parser.add_argument
    option("--part", type=int, choices=(1, 2), default=1, help="default: 1")
    option("--model", type=Path, help="default: runs/partN.pt, or else the shipped one")
    option("--picture", type=Path, default=Path("runs", "carry_line.png"),
           help="of Part 1, PNG or PDF by its name (default: %(default)s)")
    option("--device", choices=("auto", "cpu", "cuda"), default="auto",
           help="to run Part 2's cases on")
    option("--limit", type=int, default=120, metavar="SECONDS",
           help="for a proof that needs no rank one (default: %(default)s)")
    with user_errors(parser):
        arguments = parser.parse_args()
        part = arguments.part
        device = prepare_device(arguments.device if part == 2 else "cpu")
        torch.set_num_threads(1)  # OpenMP ends with status 1 if it gets no more
        path = arguments.model or default_model(part)
        model, checkpoint = load(path, part)
        weights = checkpoint["state_dict"]
        if model.order != ("lowest", "highest")[part - 1]:
            raise UserError("models.py has another order of digits than the theorems.")
        print("model    ", describe(path, checkpoint))
        print(f"weights   {fingerprint(weights)[:16]}", flush=True)
        if part == 1:
            return 1 - certify_part1(
                model, path, weights, arguments.picture, arguments.limit)
        return 1 - certify_part2(model, path, weights, device)


if __name__ == "__main__":
    sys.exit(main())
