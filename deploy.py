"""Add two integers with a trained network.

    python deploy.py 180 23               the digits of both, of the network's sum and of the exact one
    python deploy.py 0xffff 0b1           hexadecimal, binary (0b), octal (0o) and 1_000_000 work too
    python deploy.py --part 2 180 23      the network that reads everything before it answers
    python deploy.py @numbers.txt         both integers from a file: a shell takes no argument beyond 128 kilobytes

The sum on the line `output` is the network's; Python's `+` only checks it.
"""

import argparse
import decimal
import functools
import re
import sys
from pathlib import Path

from certify import DIGITS, prove
from cli import OneSentenceParser, finish, open_checkpoint, stop_quietly

CHUNK = 4096  # digits a call: memory stays flat, and a call's own cost is spread over many digits


def add(model, first, second, device="cpu"):
    """The digits that the network gives for two equally long digit lists, in its part's order."""
    import torch

    inputs = torch.tensor([first, second], dtype=torch.int8).T[None]  # (1, T, 2), one byte a digit
    digits, state = [], None
    with torch.inference_mode():
        if model.part == 2:
            return (model(inputs.to(device).float())[0] > 0).int().tolist()
        for chunk in inputs.split(CHUNK, dim=1):
            logits, state = model.advance(chunk.to(device).float(), state)
            digits += (logits[0] > 0).int().tolist()
    return digits


def check(digits, expected):
    """The percentage of digits that match, rounded down so that only a wholly right sum has 100, and their count."""
    right = sum(map(int.__eq__, digits, expected))
    return 10_000 * right // len(expected) / 100, right


def main():
    arguments = parse()
    stop_quietly()
    path, model, checkpoint, device = open_checkpoint(arguments.model, arguments.part, arguments.device)
    from dataset import to_digits, to_integer

    a, b = arguments.integers
    order = "lowest" if arguments.part == 1 else "highest"
    length = max(a.bit_length(), b.bit_length(), 1) + 1 if arguments.part == 1 else DIGITS + 1
    first, second, expected = (to_digits(integer, length, order) for integer in (a, b, a + b))
    digits = add(model.to(device), first, second, device)
    percent, right = check(digits, expected)

    origin = f"Part {arguments.part}, {model.hidden} ReLU units, seed {checkpoint['seed']}, epoch {checkpoint['epoch']}"
    proven = arguments.part == 1 and prove(checkpoint["state_dict"])[0]
    print(f"model     {path}: {origin}{', proven exact for integers of any length' if proven else ''}")
    exact = in_decimal(a + b)
    show("input 1", first, in_decimal(a))
    show("input 2", second, in_decimal(b))
    show("output", digits, exact if digits == expected else in_decimal(to_integer(digits, order)))
    show("exact", expected, exact)
    print(f"accuracy  {percent:.2f} % ({right} of {length} digits)")
    return 0


def show(name, digits, decimals):
    print(f"{name:<10}", ",".join(map(str, digits)), " = ", decimals, sep="")


def in_decimal(number):
    """str(number) of a non-negative integer, for long ones without the quadratic time that str takes before Python 3.12.

    Halves are converted one by one and put together by decimal's multiplication, whose time is almost linear.
    """

    def convert(number, bits):
        if bits <= 4096:
            return decimal.Decimal(number)
        low = bits // 2
        return convert(number >> low, bits - low) * power(low) + convert(number & ((1 << low) - 1), low)

    @functools.cache
    def power(bits):
        return decimal.Decimal(2) ** bits

    limits = dict(prec=decimal.MAX_PREC, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN, traps=[decimal.Inexact])
    with decimal.localcontext(decimal.Context(**limits)):
        return str(convert(number, number.bit_length()))


def parse():
    """Check the arguments. This comes before torch is imported, which takes seconds."""
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(0)  # integers of any size, also decimal ones of more than 4300 digits
    parser = OneSentenceParser(
        usage="python deploy.py INTEGER INTEGER [--part 1|2] [--model PATH] [--device auto|cpu|cuda]",
        description=__doc__.splitlines()[0],
        epilog="@FILE reads arguments from a file: a shell takes none of more than 128 kilobytes.",
        fromfile_prefix_chars="@",
    )
    parser.convert_arg_line_to_args = str.split
    parser.add_argument("integers", metavar="INTEGER", type=integer, nargs="*", help="two: decimal, 0x, 0b or 0o, _ between digits")
    parser.add_argument("--part", type=int, choices=(1, 2), default=1, help="1, any length, or 2, up to 16 digits; default 1")
    parser.add_argument("--model", type=Path, help="checkpoint; default runs/partN.pt if there, else pretrained/partN.pt")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto takes cuda when present, else the CPU")
    for text in sys.argv[1:]:
        if re.match("-[0-9]", text):  # argparse would take -0x5 for an option
            parser.error(f"{shorten(text)} is negative; give two integers from 0 up.")
    try:
        arguments = parser.parse_args()
    except (UnicodeDecodeError, RecursionError):
        parser.error("@FILE must name a text file that holds two integers.")
    if len(arguments.integers) != 2:
        parser.error(f"give two integers to add, and not {len(arguments.integers)}; for example: python deploy.py 180 23")
    for number in arguments.integers:
        if arguments.part == 2 and number.bit_length() > DIGITS:
            parser.error(
                f"a number of {number.bit_length()} binary digits is too long for Part 2, whose memory is sized for"
                f" {DIGITS}: it must hold every digit before it answers. Part 1 adds any length: leave --part away."
            )
    return arguments


def integer(text):
    """A non-negative integer, as Python writes it; leading zeros are allowed. argparse shows the error's sentence."""
    if re.fullmatch(r"\+?[0-9]+(_[0-9]+)*", text):
        return int(text, 10)
    if re.fullmatch(r"\+?0([xX](_?[0-9a-fA-F])+|[bB](_?[01])+|[oO](_?[0-7])+)", text):
        return int(text, 0)
    if re.match("-[0-9]", text):
        raise argparse.ArgumentTypeError(f"{shorten(text)} is negative; give two integers from 0 up.")
    raise argparse.ArgumentTypeError(f"{shorten(text)} is no integer; write 180, 0xb4, 0b10110100, 0o264 or 1_000_000.")


def shorten(text):
    return repr(text if len(text) <= 40 else text[:37] + "...")


if __name__ == "__main__":
    finish(main)
