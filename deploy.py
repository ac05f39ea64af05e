"""Add two integers with a trained network.

    python deploy.py 180 23               digits of both, and of the network's sum
    python deploy.py 0xb4 0b10111         hexadecimal, binary (0b) and octal (0o)
    python deploy.py --part 2 180 23      the network that reads everything, then writes
    python deploy.py @numbers.txt         both integers from a text file

The sum on the line `output` is the network's; Python's + only checks it.
"""

import sys
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from pathlib import Path

import torch

from dataset import to_digits, to_integer
from models import DIGITS, load, prepare_device, user_errors

SHIPPED = Path(__file__).absolute().parent / "pretrained"
PIECE = 4096  # time steps that Part 1 reads in one call, so that memory stays flat
BOM = "\ufeff\u00ef\u00bb\u00bf"  # starts a file of UTF-8, also read as Latin-1


def add(model, first, second):
    """Digits that the network gives for two equally long lists, all in its order."""
    inputs = model.output.bias.new_tensor([first, second])  # its device and precision
    with torch.inference_mode():
        return (read(model, inputs.T[None])[0] > 0).int().tolist()


def read(model, inputs):
    """Logits of a network, as those of its call; Part 1's reads them in pieces."""
    if model.delayed:
        return model(inputs)
    state, logits = None, []
    for piece in inputs.split(PIECE, dim=1):
        states, state = model.rnn(piece, state)
        logits.append(model.output(states).squeeze(2))
    return torch.cat(logits, dim=1)


def check(digits, expected):
    """Percentage of digits that match, rounded down, and their number."""
    right = sum(digit == other for digit, other in zip(digits, expected))
    return 10_000 * right // len(expected) / 100, right


def default_model(part):
    """Path of the network trained last, runs/partN.pt, or else of the one shipped."""
    trained, here = Path("runs", f"part{part}.pt"), Path.cwd()
    if trained.exists():
        return trained
    shipped = SHIPPED / trained.name
    return shipped.relative_to(here) if shipped.is_relative_to(here) else shipped


def describe(path, facts):
    """Which file a checkpoint is, what it is, and where it comes from."""
    return (f"{path}: Part {facts['part']}, {facts['hidden']} ReLU units,"
            f" seed {facts.get('seed')!a:.20}, epoch {facts.get('epoch')!a:.20}")


def integer(text):
    """Non-negative integer of a command-line argument, in Python's notation."""
    try:
        number = int(text, 0 if set(text) & set("xXbBoO") else 10)
    except ValueError:
        raise ArgumentTypeError(
            f"{text[:40]!r} is not an integer; write 180, 0xb4, 0b10110100 or 0o264.")
    if number < 0:
        raise ArgumentTypeError(f"{text[:40]} is negative; give 0 or more.")
    return number


def parse(parser):
    """Arguments of the command line, checked. Ends the script if they make no sense."""
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(0)  # Python stops at 4300 decimal digits, else
    parser.convert_arg_line_to_args = lambda line: line.lstrip(BOM).split()
    option = parser.add_argument
    option("integers", metavar="INTEGER", type=integer, nargs=2, help="or @FILE, once")
    option("--part", type=int, choices=(1, 2), default=1, help="default: 1")
    option("--model", type=Path, help="default: runs/partN.pt, or else the shipped one")
    option("--device", choices=("auto", "cpu", "cuda"), default="auto")
    arguments = parser.parse_intermixed_args()
    a, b = arguments.integers
    typed = {int(f"0{word}") for word in sys.argv if set(word) <= {"0", "1"}}
    if 1 < max(a, b) < 10**98 and {a, b} <= typed:
        print(f"note: read as decimal; for binary, write 0b{a} 0b{b}", file=sys.stderr)
    if arguments.part == 2 and max(a, b).bit_length() > DIGITS:
        parser.error(f"Part 2 remembers numbers of {DIGITS} binary digits, to 65535;"
                     " Part 1 adds any length: leave out --part.")
    return arguments


def main():
    parser = ArgumentParser(description=__doc__, fromfile_prefix_chars="@",
                            formatter_class=RawDescriptionHelpFormatter)
    with user_errors(parser):
        arguments = parse(parser)
        part, (a, b) = arguments.part, arguments.integers
        path = arguments.model or default_model(part)
        model, checkpoint = load(path, part, prepare_device(arguments.device))
        order = model.order
        length = 1 + (DIGITS if part == 2 else max(a.bit_length(), b.bit_length(), 1))
        first, second, exact = (to_digits(n, length, order) for n in (a, b, a + b))
        output = add(model, first, second)
        print("model    ", describe(path, checkpoint))
        lines = {"input 1": first, "input 2": second, "output": output, "exact": exact}
        for name, digits in lines.items():
            number = to_integer(digits, order)
            number = number if length < 14_000 else hex(number)  # in linear time
            print(f"{name:<10}{','.join(map(str, digits))} = {number}")
        percent, right = check(output, exact)
        print(f"accuracy  {percent:.2f} % ({right} of {length} digits)")


if __name__ == "__main__":
    main()
