"""Have Coq prove that a trained network of Part 1 adds: from a checkpoint to a theorem.

    python proof/coq.py                    runs/part1.pt, or else the shipped network
    python proof/coq.py --export FILE.v    only write what Coq would be given
    python proof/coq.py --model pretrained/part1.pt --export proof/Shipped.v

Coq trusts neither this script nor proof/part1.py, whose intervals it checks anew: see
Adder.v. For a network that they do not prove, it checks sets of states, which proof/
find_any_rank.py finds: see AnyRank.v. Status 0 if Coq accepts the network, 1 if it
rejects it, with these intervals or sets, 2 if Coq is missing. Coq is given these files
alone, and no other library than its own.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from functools import partial
from math import ceil
from pathlib import Path
from textwrap import fill

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
if __name__ == "__main__":  # status 1 means rejected: an import that fails gives 2
    sys.excepthook = lambda *error: sys.exit(sys.__excepthook__(*error) or 2)

import torch

from deploy import SHIPPED, default_model, describe
from models import UserError, fingerprint, load, prepare_device
from models import user_errors, write_whole
from proof import find_any_rank
from proof.any_rank import FULL, M, WORDS
from proof.part1 import PAIRS, WEIGHTS, Network, dot, lists, prove
from proof.search import find_counterexample

EPSILON, TINY = Fraction(1, 2**24), Fraction(1, 2**102)  # as in Adder.v
DIGITS = 40  # of rounded numbers
LIMIT = 120  # seconds to look for sets of states
HEADER = """\
(* Written by python proof/coq.py --export. To compile, run in the folder proof/
   coqc -q -Q . Binadd FILE.v for Adder.v, Float32.v, Runs.v, and this. *)

From Binadd Require Import Adder Float32 Runs.
From Coq Require Import QArith List.
Import ListNotations.
Open Scope Q_scope.
"""
THEOREM = """
(* The last step says: by computation. It is Qed that makes Coq compute the check. *)
Theorem {0}_network_adds : adds rounds_to_float32 {0}.
Proof.
  apply ({1} _ float32_accurate _ {0}_certificate).
  vm_cast_no_check (eq_refl true).
Qed.

(* 180 + 23 = 203, with every result rounded to the nearest float32. *)
Example {0}_adds_180_and_23 :
  write round {0} zero (combine (bits 9 180) (bits 9 23)) = bits 9 203.
Proof. vm_compute. reflexivity. Qed.

Check {0}_network_adds.
Print Assumptions {0}_network_adds.
"""
ANY_RANK = """
(* It is of any rank, so AnyRank.v is to be compiled, too, before this. *)
From Binadd Require Import AnyRank.
"""
LIBRARY = "Adder.v", "Float32.v", "Runs.v", "AnyRank.v"
CLOSED = "Closed under the global context"  # Coq's words for: no axioms
POINTWISE = {  # what must hold for each carry and pair of digits
    "bounded": "a state may leave its bounds",
    "kept": "s may leave the interval of the next carry",
    "answered": "the logit may have the wrong sign",
}


def define(name, state_dict, intervals):
    """Coq definitions of a network, and of a certificate with two intervals of s."""
    return _define(name, state_dict, "certificate", certificate, intervals)


def define_any_rank(name, state_dict, sets):
    """Coq definitions of a network, and of a certificate of any_rank.py."""
    return ANY_RANK + _define(name, state_dict, "evidence", evidence, sets)


def _define(name, state_dict, kind, certify, found):
    weights = lists(state_dict)
    values = [exact(weights[key]) for key in WEIGHTS]
    W_ih, W_hh, b_ih, b_hh, (w,), (c,) = values
    network = {"hidden": len(w), **prefix("matrix", {"W_ih": W_ih, "W_hh": W_hh}),
               **prefix("vector", {"b_ih": b_ih, "b_hh": b_hh, "w_out": w}),
               "b_out": show(c)}
    fields = certify(Network(weights), values, found)
    return (f"\n(* The network whose weights have the SHA-256\n"
            f"   {fingerprint(state_dict)} *)\n"
            + record(name, "network", network)
            + record(f"{name}_certificate", kind, fields))


def certificate(net, values, intervals):
    """Fields of a certificate. Numbers are rounded outwards, to a readable length."""
    low, high = zip(*((-round_up(-a), round_up(b)) for a, b in intervals))
    largest = net.largest(min(low), max(high))
    room = [2 * error for error in errors(net, values, largest)]
    cap = [round_up(r + more) for r, more in zip(largest, room)]
    err = [round_up(error) for error in errors(net, values, cap)]
    fields = prefix("vector", {"column": net.u, "row": net.v, "cap": cap, "err": err})
    cuts = [kinks(net, *ends) for ends in zip(low, high)]
    for key, (zero, one) in {"low": low, "high": high, "cuts": cuts}.items():
        fields[f"{key} k"] = f"if k then {show(one)} else {show(zero)}"
    return fields


def kinks(net, low, high):
    """Values of s from low to high where a unit switches, under any pair of digits."""
    found = {-d / u for x in PAIRS for d, u in zip(net.drives[x], net.u) if u}
    return sorted(s for s in found if low < s < high)


def errors(net, values, cap):
    """Bounds of each unit's input error, for states within `cap`, as in Adder.v."""
    bounds = []
    for terms, row, u in zip(unit_terms(values, cap), values[1], net.u):
        rest = (abs(weight - u * v) * h for weight, v, h in zip(row, net.v, cap))
        bounds.append(rounding(terms) + sum(rest))
    return bounds


def unit_terms(values, cap):
    """What each unit sums up at most: pairs of factors, as in Adder.v."""
    W_ih, W_hh, b_ih, b_hh, _, _ = values
    for inputs, row, *biases in zip(W_ih, W_hh, b_ih, b_hh):
        yield [*zip(biases + inputs, [1] * 4), *zip(row, cap)]


def rounding(terms):
    """Bound of the error of a float32 sum of products, as in Adder.v."""
    mass = sum(abs(a * b) + TINY * (1 + abs(a) + abs(b)) for a, b in terms)
    return ((1 + EPSILON) ** len(terms) - 1) * mass


def evidence(net, values, sets):
    """Fields of a certificate for AnyRank.v, from one of any_rank.py."""
    _, W_hh, _, _, (w,), (c,) = values
    cap = [Fraction(2) ** e for e in sets.exponents]
    drives = zip(*(net.drives[x] for x in PAIRS))
    inputs = [affine(h, d, row, cap, rounding(terms)) for h, d, row, terms
              in zip(cap, drives, W_hh, unit_terms(values, cap))]
    size = max(abs(a * h) for a, h in zip((c, *w), (1, *cap))) or Fraction(1)
    error = rounding([(c, 1), *zip(w, cap)])
    nodes = map(node, sets.totals, sets.next, sets.centres, sets.columns, sets.inverses)
    return {"inputs": f"[{'; '.join(inputs)}]",
            "output": affine(size, 4 * [c], w, cap, error),
            "nodes": f"[{'; '.join(nodes)}]",
            "depth": sets.depth + 2,  # as Coq's zonotopes are a little wider
            "halvings": sets.halvings, "width": f"{sets.width}%Z"}


def affine(size, constants, weights, cap, error):
    """Coq term of what a sum of products is, in integers, and how far from that."""
    quantum, weights = size / FULL**2, [a * h / FULL for a, h in zip(weights, cap)]
    factor, constant = ([round(a / quantum) for a in numbers]
                        for numbers in (weights, constants))
    error += max(abs(a - b * quantum) for a, b in zip(constants, constant))
    error += FULL * sum(abs(a - b * quantum) for a, b in zip(weights, factor))
    return braces(quantum=show(quantum), factor=f"entries {whole(factor)}%Z",
                  constant=f"({by_pair(constant)})%Z",
                  error=f"{ceil(error / quantum)}%Z")


def node(total, after, m, T, F):
    """Coq term of a node of the automaton, and of its set {m + T y : |y_i| <= 1}."""
    edges = zip(WORDS[len(after)], after)
    leads = {x: j for word, j in edges for x in word}
    one, half = FULL << M, FULL // 2
    spare = []  # by which T F z, in what F z counts, may be off
    for i, row in enumerate(zip(*T)):
        off = [dot(row, column) - one * (i == j) for j, column in enumerate(zip(*F))]
        error = sum(abs(e) * (abs(half - a) + half) for e, a in zip(off, m))
        spare.append(-(-error // one))
    return braces(is_digit=show(total % 2 == 1), is_carry=show(total > 1),
                  leads=f"({by_pair([leads[x] for x in PAIRS])})%nat",
                  middle=f"entries {whole(m)}%Z", axes=f"table {whole(zip(*T))}%Z",
                  spare=f"entries {whole(spare)}%Z", inverse=f"table {whole(F)}%Z",
                  offset=f"entries {whole(dot(row, m) for row in F)}%Z")


def whole(values):
    """Coq term of an integer, or of nested lists of them, in Coq's scope of these."""
    return str(values) if isinstance(values, int) else (
        f"[{'; '.join(map(whole, values))}]")


def by_pair(values):
    return f"by_pair {' '.join(f'({value})' for value in values)}"


def braces(**fields):
    """Coq term of a record."""
    return f"{{| {'; '.join(f'{key} := {term}' for key, term in fields.items())} |}}"


def exact(values):
    return list(map(exact, values)) if isinstance(values, list) else Fraction(values)


def round_up(x):
    """Least number that is not below x and has DIGITS binary digits, or one more."""
    exponent = x.numerator.bit_length() - x.denominator.bit_length() - DIGITS
    unit = Fraction(2) ** exponent
    return ceil(x / unit) * unit


def show(value):
    """Coq term of a boolean, a fraction, or a list or tuple of these."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{'; '.join(map(show, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(show, value))})"
    return "{}#{}".format(*value.as_integer_ratio())


def prefix(word, values):
    return {key: f"{word} {show(value)}" for key, value in values.items()}


def record(name, kind, fields):
    """Coq definition of a record, from its fields' terms."""
    lines = [fill(f"{key} := {term}", 88, initial_indent="  ", subsequent_indent="    ",
                  break_on_hyphens=False, break_long_words=False)
             for key, term in fields.items()]
    return f"\nDefinition {name} : {kind} := {{|\n" + ";\n".join(lines) + " |}.\n"


def prepare(folder):
    """Compile the library into a folder. Raises UserError if Coq cannot."""
    if not shutil.which("coqc"):
        raise UserError("Coq is missing (no coqc on the PATH); install it, as by"
                        " apt-get install coq or brew install coq.")
    for name in LIBRARY:
        shutil.copy(HERE / name, folder)
        result = coqc(folder, name)
        if result.returncode:
            raise UserError(f"Coq does not compile {name}, which is for Coq 8.16:"
                            f" {' '.join(result.stderr.split())[:200]}")


def coqc(folder, name, text=None):
    """Compile a file, with the given text if any; the finished process.

    Coq reads its own library and this folder. Other libraries, which might have files
    of the same names, are found by variables such as COQPATH, HOME and XDG_DATA_DIRS.
    """
    if text is not None:
        Path(folder, name).write_text(text, encoding="utf-8")
    kept = {key: os.environ[key] for key in ("PATH", "SYSTEMROOT") if key in os.environ}
    places = dict.fromkeys(("HOME", "XDG_DATA_HOME", "XDG_DATA_DIRS"), str(folder))
    return subprocess.run(  # its status is for the caller
        ["coqc", "-q", "-Q", ".", "Binadd", name], cwd=folder, env=kept | places,
        capture_output=True, encoding="utf-8", check=False,
    )


def evaluate(folder, definitions, terms):
    """Values of boolean Coq terms, in a prepared folder. Raises UserError."""
    text = f"{HEADER}{definitions}\nCompute [{'; '.join(terms)}].\n"
    result = coqc(folder, f"Evaluate{os.getpid()}.v", text)  # others may run beside it
    values = [word == "true" for word in re.findall("true|false", result.stdout)]
    if result.returncode or len(values) != len(terms):
        raise UserError(f"Coq failed: {' '.join(result.stderr.split())[:200]}")
    return values


def verdicts(folder, definitions):
    """Coq's verdicts on networks, from a dict of their definitions by name."""
    terms = [f"check {name} {name}_certificate" for name in definitions]
    return evaluate(folder, "".join(definitions.values()), terms)


def conditions(net, cert):
    """Coq terms for all that `check` asks for, by what it means if one is false."""
    terms = {
        "0, where s starts, is not in the interval of carry 0": f"starts {cert}",
        "the logit may overflow": f"fits (largest_logit {net} {cert})",
        "a unit's sum may overflow, or its error exceed its bound":
            f"forallb (measured {net} {cert}) (units {net})",
    }
    for k in (0, 1):
        for x in PAIRS:
            for holds, words in POINTWISE.items():
                term = f"throughout {net} {cert} ({holds} {net} {cert})"
                reading = f"carry {k}, digits {x[0]} and {x[1]}: {words}"
                terms[reading] = f"{term} {show(bool(k))} {show(tuple(map(bool, x)))}"
    return terms


def conditions_any_rank(net, cert):
    """As `conditions`, for a certificate of AnyRank.v."""
    return {
        "a sum may overflow, or differ by more than the certificate says":
            f"close_logit {net} {cert}"
            f" && forallb (close_unit {net} {cert}) (units {net})",
        "a set's inverse is not the inverse":
            f"forallb (inverted {net}) (nodes {cert})",
        "a state may leave its sets or bounds, or a logit have the wrong sign":
            f"closed {net} {cert}",
    }


def ask(folder, name, definitions, theorem, terms):
    """Print Coq's answer about a network; True if it accepts it.

    `terms` are those of `conditions`, for what it says if it does not.
    """
    result = coqc(folder, "Theorem.v", HEADER + definitions + theorem)
    answer = result.stdout.strip()
    if result.returncode == 0:
        accepted = answer.endswith(CLOSED)
        print("accepted: a theorem" if accepted else "rejected: it takes axioms")
        print(f"\n{answer}")
        return accepted
    values = evaluate(folder, definitions, terms.values())
    if all(values):
        raise UserError(f"Coq failed: {' '.join(result.stderr.split())[:200]}")
    print("rejected:")
    print(*(words for words, value in zip(terms, values) if not value), sep="\n")
    return False


def main():
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    option = parser.add_argument
    option("--model", type=Path, help="default: runs/part1.pt, or else the shipped one")
    option("--export", type=Path, metavar="FILE.v",
           help="write the Coq file, and stop")
    arguments = parser.parse_args()
    with user_errors(parser):
        path = arguments.model or default_model(1)
        prepare_device("cpu")
        torch.set_num_threads(1)  # OpenMP ends with status 1 if it gets no more
        model, checkpoint = load(path, 1)
        print("model    ", describe(path, checkpoint), flush=True)
        weights = checkpoint["state_dict"]
        values = lists(weights)
        verdict, sets = prove(values), None
        if not (verdict.proven or find_counterexample(model)):
            tell = partial(print, "any rank:", file=sys.stderr, flush=True)
            deadline = time.perf_counter() + LIMIT
            found, sets = find_any_rank.prove(values, deadline, tell)
            tell(f"Coq is to check {found.pushes} zonotopes" if sets else found.reason)
        if not (sets or verdict.intervals):
            print("rejected: s grows without bound, so Coq has nothing to check")
            return 1
        name = "shipped" if path.absolute().parent == SHIPPED else "trained"
        theorem = THEOREM.format(name, "sound_any_rank" if sets else "sound")
        if sets:
            definitions = define_any_rank(name, weights, sets)
            terms = conditions_any_rank(name, f"{name}_certificate")
        else:
            definitions = define(name, weights, verdict.intervals)
            terms = conditions(name, f"{name}_certificate")
        if arguments.export:
            write_whole(arguments.export, (HEADER + definitions + theorem).encode())
            print("wrote", arguments.export)
            return 0
        with tempfile.TemporaryDirectory() as folder:
            prepare(folder)
            return 1 - ask(folder, name, definitions, theorem, terms)


if __name__ == "__main__":
    sys.exit(main())
