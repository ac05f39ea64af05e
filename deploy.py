"""Add two integers with a trained network.

    python deploy.py 180 23               digits of both, and of the network's sum
    python deploy.py 0xb4 0b10111         hexadecimal, binary (0b) and octal (0o)
    python deploy.py --part 2 180 23      the network that reads everything, then writes
    python deploy.py @numbers.txt         both integers from a text file

The sum on the line `output` is the network's; Python's + only checks it.
"""

import argparse
import codecs
import re
import sys
from decimal import Decimal
from pathlib import Path

from dataset import to_digits, to_integer  # first: it says if torch does not load

import torch

from models import DIGITS, UserError, load, prepare_device, user_errors

SHIPPED = Path(__file__).absolute().parent / "pretrained"


def add(model, first, second):
    """Digits that the network gives for two equally long lists of digits, in its order.

    The digits are lowest first for Part 1, highest first for Part 2.
    """
    bias = model.output.bias  # of the network's device and precision
    inputs = torch.tensor([first, second], dtype=bias.dtype, device=bias.device)
    with torch.inference_mode():
        return (model(inputs.T[None])[0] > 0).int().tolist()


def check(digits, expected):
    """Percentage of digits that match, and their number.

    The percentage is rounded down, so that 100.00 means that every digit is right.
    """
    right = sum(digit == other for digit, other in zip(digits, expected))
    return 10_000 * right // len(expected) / 100, right


def default_model(part):
    """Path of the network trained last, runs/partN.pt, or else of the one shipped."""
    trained = Path("runs", f"part{part}.pt")
    shipped = SHIPPED / trained.name
    if trained.exists():
        return trained
    here = Path.cwd()
    return shipped.relative_to(here) if shipped.is_relative_to(here) else shipped


def describe(path, checkpoint):
    """Which file a checkpoint is, what it is, and where it comes from."""
    facts = [f"Part {checkpoint['part']}, {checkpoint['hidden']} ReLU units"]
    facts += [f"{name} {checkpoint.get(name, 'unknown')}" for name in ("seed", "epoch")]
    shipped = path.absolute().parent == SHIPPED
    note = f" (shipped; there is no {Path('runs', path.name)} here)" if shipped else ""
    return f"{path}: {', '.join(facts)}{note}"


def integer(text):
    """Non-negative integer of a command-line argument, in Python's notation."""
    try:
        if re.fullmatch("[+-]?[0-9]+(_[0-9]+)*", text):
            number = int(Decimal(text))  # int(text) refuses more than 4300 digits
        else:
            number = int(text, 0)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is not an integer; write 180, 0xb4, 0b10110100 or 0o264."
        ) from None
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text[:40]} is negative; give 0 or more.")
    return number


def show(number):
    """Decimal digits of a number, or hexadecimal ones if Python refuses these."""
    try:
        return str(number)
    except ValueError:  # more than 4300 digits, which would take quadratic time
        return hex(number)


def expand(argument):
    """Words of the text file FILE for the argument @FILE, else the argument itself."""
    if not argument.startswith("@"):
        return [argument]
    content = Path(argument[1:]).read_bytes()
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # Windows
    try:
        return content.decode("utf-16" if utf16 else "utf-8-sig").split()
    except UnicodeDecodeError:
        raise UserError(f"{argument[1:]} is not a text file.") from None


def parse(parser):
    """Arguments of the command line, checked. Ends the script if they make no sense."""
    option = parser.add_argument
    option("integers", metavar="INTEGER", type=integer, nargs="*", help="two, or @FILE")
    option("--part", type=int, choices=(1, 2), default=1,
           help="1 writes a digit at each step (default); 2 reads all, then writes")
    option("--model", type=Path, help="default: runs/partN.pt, or else the shipped one")
    option("--device", choices=("auto", "cpu", "cuda"), default="auto")
    words = [word for argument in sys.argv[1:] for word in expand(argument)]
    for word in words:
        if re.fullmatch("-[0-9][0-9A-Za-z_]*", word):  # an option to argparse: -0x5
            parser.error(f"{word[:40]} is negative; give 0 or more.")
    arguments = parser.parse_intermixed_args(words)
    if len(arguments.integers) != 2:
        parser.error("give two integers, as in: python deploy.py 180 23")
    if arguments.part == 2 and max(arguments.integers).bit_length() > DIGITS:
        parser.error(f"Part 2 remembers numbers of {DIGITS} binary digits, to 65535;"
                     " Part 1 adds any length: leave out --part.")
    a, b = arguments.integers
    binary = {int(word) for word in words if re.fullmatch("[01]{1,99}", word)}
    if max(a, b) > 1 and {a, b} <= binary:
        hint = f"note: read as decimal; for binary, write 0b{a} 0b{b}"
        print(hint, file=sys.stderr)
    return arguments


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    with user_errors(parser):
        arguments = parse(parser)
        part, (a, b) = arguments.part, arguments.integers
        device = prepare_device(arguments.device)
        path = arguments.model or default_model(part)
        model, checkpoint = load(path, part, device)
        order = model.order
        length = 1 + (DIGITS if part == 2 else max(a.bit_length(), b.bit_length(), 1))
        first, second, exact = (to_digits(n, length, order) for n in (a, b, a + b))
        output = add(model, first, second)
        percent, right = check(output, exact)
        print("model    ", describe(path, checkpoint))
        lines = {"input 1": first, "input 2": second, "output": output, "exact": exact}
        for name, digits in lines.items():
            number = show(to_integer(digits, order))
            print(f"{name:<10}{','.join(map(str, digits))} = {number}")
        print(f"accuracy  {percent:.2f} % ({right} of {length} digits)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
