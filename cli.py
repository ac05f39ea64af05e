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
    print(f"{Path(sys.argv[0]).name}: {sentence}".replace("\n", r"\n"), file=sys.stderr)
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


def finish(main):
    """Run `main` and end the script with its status. Where a file or standard output cannot be written, with a sentence."""
    try:
        status = main()
        if sys.stdout:
            sys.stdout.flush()
    except OSError as error:
        status = fail(f"cannot write {f'to {error.filename}' if error.filename else 'its output'}: {error.strerror or error}.")
        if not error.filename:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would try again at its end
    sys.exit(status)


def stop_quietly():
    """Let Ctrl-C, or a reader like `head` that has seen enough, end the script without a traceback."""
    print_any_name()
    for name in ("SIGINT", "SIGPIPE"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)


def print_any_name():
    """Let names of files and folders be printed that are not printable."""
    if sys.stdout:  # None where the caller has closed it
        sys.stdout.reconfigure(errors="backslashreplace")


def default_checkpoint(part):
    """What you trained last, else what this repository brings."""
    trained = Path("runs", f"part{part}.pt")
    shipped = Path(__file__).parent / "pretrained" / trained.name
    if os.path.lexists(trained):
        return trained
    return shipped.relative_to(Path.cwd()) if shipped.is_relative_to(Path.cwd()) else shipped
