"""What the command lines share: errors of one sentence, Ctrl-C, and which checkpoint is meant.

Nothing here imports torch, which takes seconds: `--help` and bad arguments are to answer at once.
"""

import argparse
import os
import signal
import sys
from pathlib import Path


class OneSentenceParser(argparse.ArgumentParser):
    """Bad arguments get one sentence on standard error, without the usage, and exit status 2."""

    def error(self, message):
        self.exit(fail(message))


def fail(sentence):
    """Say on standard error what was wrong. Returns the exit status for it."""
    print(f"{Path(sys.argv[0]).name}: {sentence}", file=sys.stderr)
    return 2


def needs(error):
    """The sentence for a ModuleNotFoundError."""
    return f"{error.name} is not installed; run: pip install -r requirements.txt"


def open_checkpoint(path, part, device):
    """For the scripts that use a trained network: its path (the default one if None), the network on the CPU, the
    checkpoint's dict, and the torch device of that name. Ends the script with a sentence where that cannot be."""
    try:
        from models import CheckpointError, choose_device, load
    except ModuleNotFoundError as error:
        sys.exit(fail(needs(error)))
    path = path or default_checkpoint(part)
    try:
        device = choose_device(device)
        return path, *load(path, part), device
    except (CheckpointError, ValueError) as error:
        sys.exit(fail(str(error)))


def stop_quietly():
    """Let Ctrl-C, or a reader like `head` that has seen enough, end the script without a traceback."""
    print_any_name()
    for name in ("SIGINT", "SIGPIPE"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)


def print_any_name():
    """Let names of files and folders be printed that are not printable."""
    sys.stdout.reconfigure(errors="backslashreplace")


def default_checkpoint(part):
    """What you trained last, else what this repository brings."""
    trained = Path("runs", f"part{part}.pt")
    shipped = Path(__file__).parent / "pretrained" / trained.name
    if os.path.lexists(trained):
        return trained
    return shipped.relative_to(Path.cwd()) if shipped.is_relative_to(Path.cwd()) else shipped
