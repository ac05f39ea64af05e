"""Takes away what Python on Windows lacks, when this folder is on PYTHONPATH.

No SIGPIPE, no module `resource`, no symlinks without a privilege, no SIGINT to another
process, and text files that are not UTF-8 unless it is said.
"""

import builtins
import io
import os
import signal
import subprocess
import sys

ENCODING = os.environ.get("ANSI_CODEPAGE", "cp1252")
open_file, send_signal = builtins.open, subprocess.Popen.send_signal


def open_as_on_windows(file, mode="r", buffering=-1, encoding=None, *others, **named):
    if "b" not in mode and encoding is None and not isinstance(file, int):
        encoding = ENCODING
    return open_file(file, mode, buffering, encoding, *others, **named)


def send_signal_as_on_windows(self, number):
    if number == signal.SIGINT:
        raise ValueError(f"Unsupported signal: {number}")
    return send_signal(self, number)


def refuse_symlink(*_, **__):
    raise OSError(22, "A required privilege is not held by the client")


for name in ("SIGPIPE", "SIGHUP", "SIGKILL", "SIGUSR1"):
    if hasattr(signal, name):
        delattr(signal, name)
sys.modules["resource"] = None
os.symlink = refuse_symlink
builtins.open = open_as_on_windows
io.text_encoding = lambda encoding, stacklevel=2: encoding or ENCODING
subprocess.Popen.send_signal = send_signal_as_on_windows
