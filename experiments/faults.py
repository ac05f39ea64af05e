"""Attempts to break the scripts: killed, interrupted, out of disk, fed with damaged files and senseless arguments.

    python experiments/faults.py       some ten minutes on two cores
    python experiments/faults.py fuzz_arguments interrupt       only these

Each check says how often it tried and how often something was lost, torn, wrong, or answered with a traceback.
Writes faults.csv; ends with exit status 1 if anything failed. The fast ones of these checks are in test_binadd.py as well.
"""

import contextlib
import io
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import unittest.mock
from pathlib import Path

import torch
from common import HERE, read_rows, write_rows

import certify
import cli
import deploy
import models
import train_part1
import train_part2

SCRIPTS = HERE.parent
SHIPPED = {part: SCRIPTS / "pretrained" / f"part{part}.pt" for part in (1, 2)}
NETWORKS = {part: models.fingerprint(models.load(path, part)[1]["state_dict"]) for part, path in SHIPPED.items()}
OUTPUTS = {"part1.pt", "part1_loss.png"}


def start(*arguments, **options):
    """A training of Part 1 as a process of its own."""
    command = [sys.executable, SCRIPTS / "train_part1.py", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def litter(folder):
    """What lies in the folder and should not, torn files included."""
    found = [path.name for path in Path(folder).iterdir() if path.name not in OUTPUTS]
    if Path(folder, "part1.pt").exists():
        try:
            models.load(Path(folder, "part1.pt"), 1)
        except models.CheckpointError as error:
            found.append(str(error))
    picture = Path(folder, "part1_loss.png")
    if picture.exists() and not picture.read_bytes().endswith(b"IEND\xaeB`\x82"):
        found.append("a torn picture")
    return found


def kill_training(tries=20):
    """SIGKILL at random moments of twenty trainings into one folder; what is left of files half written goes with the next training."""
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(tries):
            process = start("--epochs", 5, "--out", folder)
            time.sleep(random.uniform(0, 4))
            process.kill()
            process.communicate()
            left = litter(folder)
            yield [name for name in left if not name.endswith(".tmp")]
        for path in Path(folder).glob("*.tmp"):
            os.utime(path, (0, 0))  # as if a minute had gone by
        start("--epochs", 1, "--out", folder).communicate()
        yield litter(folder)


def kill_saving(tries=300):
    """SIGKILL at random moments of a process that does nothing but save."""
    model = models.SynchronousAdder()
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(tries):
            child = os.fork()
            if child == 0:
                while True:
                    models.save(model, Path(folder, "part1.pt"), 1, 0.5, 0)
            time.sleep(random.uniform(0.001, 0.02))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            yield [name for name in litter(folder) if not name.endswith(".tmp")]
        for path in Path(folder).glob("*.tmp"):
            os.utime(path, (0, 0))
        models.save(model, Path(folder, "part1.pt"), 1, 0.5, 0)
        yield litter(folder)


def two_trainings(tries=5):
    """Two trainings into one folder at once: one whole model and one whole picture are left."""
    for _ in range(tries):
        with tempfile.TemporaryDirectory() as folder:
            both = [start("--epochs", 20, "--seed", seed, "--out", folder) for seed in (1, 2)]
            errors = [process.communicate()[1] for process in both]
            missing = OUTPUTS - {path.name for path in Path(folder).iterdir()}
            yield [*filter(None, errors), *litter(folder), *missing, *(process for process in both if process.returncode)]


def interrupt(tries=40):
    """Ctrl-C at random moments of short trainings, also while saving, drawing and starting up.

    Exit status 130, no traceback, and once an epoch is over the model and the picture are there. In the first tenth of a second it is Python
    that starts, and no script of ours is asked: there it is 130 or the signal's own, with Python's words.
    """
    for _ in range(tries):
        with tempfile.TemporaryDirectory() as folder:
            process = start("--epochs", 3, "--out", folder)
            moment = random.uniform(0.1, 3.5)
            time.sleep(moment)
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate()
            problems = litter(folder)
            if process.returncode not in (130, 0) or (process.returncode == 0 and "wrote" not in output):
                problems.append(f"exit status {process.returncode} after {moment:.2f} s")
            if "Traceback" in errors:
                problems.append(errors)
            if "epoch" in output:
                problems += OUTPUTS - {path.name for path in Path(folder).iterdir()}
            yield problems


def opens(path, part):
    """What is wrong with how a damaged checkpoint is answered: it must be refused with one sentence, or be the network it was."""
    try:
        _, checkpoint = models.load(path, part)
    except models.CheckpointError as error:
        return [] if str(error).endswith(".") and "\n" not in str(error) else [str(error)]
    except BaseException as error:
        return [repr(error)]
    return [] if models.fingerprint(checkpoint["state_dict"]) == NETWORKS[part] else ["another network was loaded"]


def damage_checkpoints(step=1):
    """Part 1's checkpoint cut at every byte, and with one bit turned over in every byte; Part 2's at 1000 places; 1000 random files."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "damaged.pt")
        for part in (1, 2):
            whole = SHIPPED[part].read_bytes()
            places = range(0, len(whole), step) if part == 1 else random.sample(range(len(whole)), 1000 // step)
            for place in places:
                path.write_bytes(whole[:place])
                yield opens(path, part)
                path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << random.randrange(8)]) + whole[place + 1 :])
                yield opens(path, part)
        for _ in range(1000 // step):
            path.write_bytes(random.choice((b"", b"PK\x03\x04", b"\x80\x02")) + random.randbytes(random.randrange(5000)))
            yield opens(path, 1)


def strange_checkpoints(tries=2000):
    """Well-formed files that hold something else: entries missing, exchanged, of other types, shapes and sizes, not finite."""
    good = torch.load(SHIPPED[1], weights_only=True)
    values = [None, True, -1, 0, 10**30, 1.5, float("nan"), "x", b"x", [], {}, (), torch.zeros(0), torch.zeros(10, 10), torch.full((10, 2), float("inf")),
              torch.zeros(10, dtype=torch.float64), torch.zeros(10, dtype=torch.complex64), torch.zeros(1).expand(10, 10**9), torch.zeros(10).to_sparse()]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "strange.pt")
        for _ in range(tries):
            checkpoint = {**good, "state_dict": dict(good["state_dict"])}
            for _ in range(random.randint(1, 3)):
                inside = random.choice((checkpoint, checkpoint.get("state_dict")))
                if isinstance(inside, dict) and inside:
                    key = random.choice([*inside, "another"])
                    inside.pop(key, None)
                    if random.random() < 0.7:
                        inside[key] = random.choice(values)
            torch.save(random.choice((checkpoint, checkpoint, checkpoint, random.choice(values))), path)
            try:
                model, loaded = models.load(path, 1)
                sums = model(torch.zeros(1, 3, 2))
                yield [] if sums.isfinite().all() and loaded["hidden"] == 10 else ["accepted, and not usable"]
            except models.CheckpointError as error:
                yield [] if str(error).endswith(".") and "\n" not in str(error) else [str(error)]
            except Exception as error:
                yield [repr(error)]


WORDS = [
    "180", "23", "0", "1", "65535", "65536", "0xff", "0XFF", "0b101", "0o17", "1_000", "007", "+5", "-5", "-0x5", "--5", "1.5", "1e5", "nan", "0x", "_1", "1__0", "٣", "½",
    "", " ", "\n", "\udcff", "9" * 4000, "0b" + "1" * 300, "a" * 300, "--part", "--part=1", "--part=2", "--part=3", "2", "--par", "--model", "--model=", str(SHIPPED[1]),
    str(SHIPPED[2]), "nowhere.pt", ".", "/dev/null", "--device", "--device=cpu", "auto", "cpu", "cuda", "tpu", "--epochs", "--epochs=0", "--epochs=1", "--epochs=1e3", "--seed",
    "--seed=99999999999999999999", "--seed=-1", "--seed=7", "--out", "--out=", "out", "out/deeper", "file", "file/below", "--picture", "--picture=.", "p.png", "--help", "-h", "--",
    "-", "@", "@numbers", "@nowhere", "@binary", "@itself", "@.", "=", "--=", "--nonsense", "-x", "%s", "{}", "*", "\\", "--part=", "--part=١",
]  # fmt: skip


def call(main, *arguments):
    """A script's main in this process: its exit status, standard output and standard error."""
    streams = [io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace") for _ in range(2)]
    before = {name: signal.getsignal(getattr(signal, name)) for name in ("SIGINT", "SIGPIPE")}
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]), unittest.mock.patch("sys.argv", ["script.py", *arguments]):
        try:
            status = main()
        except SystemExit as stop:
            status = stop.code
        finally:
            for name, handler in before.items():
                signal.signal(getattr(signal, name), handler)
    for stream in streams:
        stream.flush()
    return status, *(stream.buffer.getvalue().decode() for stream in streams)


def answer(output):
    """What is wrong with what deploy.py printed: it must be consistent, and say so when the sum is not right."""
    digits, integers = zip(*(line[10:].split(" = ") for line in output.split("\n")[1:5]))
    a, b, given, exact = map(int, integers)
    if exact != a + b or (given == exact) != (digits[2] == digits[3]) or (given == exact) != ("accuracy  100.00 % (" in output):
        return [output]
    return []


def fuzz_arguments(tries=5000):
    """Lists of arguments for the four scripts. Training, drawing and the exhaustion are left out: this is about what comes before them."""
    scripts = {
        "deploy": deploy.main,
        "certify": certify.main,
        "train_part1": lambda: train_part1.run(1, train_part1.part1, ""),
        "train_part2": lambda: train_part1.run(2, train_part2.part2, ""),
    }
    sys.set_int_max_str_digits(0)
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),
        unittest.mock.patch("train_part1.train", lambda *arguments: [0.5]),
        unittest.mock.patch("train_part1.plot"),
        unittest.mock.patch("certify.draw_carry_line"),
        unittest.mock.patch("certify.exhaust", lambda *arguments: (0, [(1.0, (0,) * 16)])),
    ):
        Path("file").write_text("")
        Path("numbers").write_text("180 23")
        Path("binary").write_bytes(b"\xff\xfe\x00")
        Path("itself").write_text("@itself")
        for _ in range(tries):
            name = random.choice([*scripts, "deploy", "deploy"])
            arguments = random.choices(WORDS, k=random.randint(0, 5))
            if name == "deploy" and random.random() < 0.5:  # half of them with two integers, or the script would seldom get beyond that
                arguments += [random.choice(("0x%x", "%d", "%o")) % random.getrandbits(random.choice((3, 16, 200))) for _ in range(2)]
            try:
                status, output, errors = call(lambda: cli.finish(scripts[name]), *arguments)
            except BaseException as error:
                yield [f"{name} {arguments}: {error!r}"]
                continue
            if status == 2:
                good = output.count("\n") <= 1 and re.fullmatch(r"script\.py: [^\n]+\n", errors)  # certify prints the model before what it cannot write
            else:
                good = status == 0 or (name == "certify" and status == 1)
                if good and name == "deploy" and "usage" not in output and "error" not in output:
                    good = not answer(output)
            yield [] if good else [f"{name} {arguments}: status {status}, {output[-300:]!r}, {errors[-300:]!r}"]


def disk_full(tries=60):
    """Files may have a random size at most, as on a full disk, from the start of a training or from its first line on: exit status 2, a sentence, and a whole model stays."""
    for number in range(tries):
        with tempfile.TemporaryDirectory() as folder:
            old = SHIPPED[1].read_bytes()
            Path(folder, "part1.pt").write_bytes(old)
            size = random.choice((0, random.randrange(9000), 20_000))  # the last is too small for the picture alone
            limit = resource.RLIMIT_FSIZE, (size, size)
            if number % 2:
                process = start("--epochs", 1, "--out", folder, preexec_fn=lambda: resource.setrlimit(*limit))
            else:
                process = start("--epochs", 1, "--out", folder)
                process.stdout.readline()
                resource.prlimit(process.pid, *limit)
            _, errors = process.communicate()
            problems = litter(folder)
            if process.returncode != 2 or not re.fullmatch(r"train_part1\.py: cannot write [^\n]+\.\n", errors):
                problems.append(errors)
            if (number % 2 or size < 3000) and Path(folder, "part1.pt").read_bytes() != old:  # a checkpoint has some 3500 bytes
                problems.append("the model of before is gone")
            yield problems


def same_seed():
    """The same seed gives the same weights bit for bit, with OMP_NUM_THREADS unset, twice, and 1, 2 and 4; both parts."""
    for part, epochs in ((1, 10), (2, 2)):
        first = None
        for threads in ("", "", "1", "2", "4"):
            with tempfile.TemporaryDirectory() as folder:
                environment = {**os.environ, "OMP_NUM_THREADS": threads}
                if not threads:
                    del environment["OMP_NUM_THREADS"]
                command = [sys.executable, SCRIPTS / f"train_part{part}.py", "--epochs", str(epochs), "--out", folder, "--device", "cpu"]
                subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
                weights = models.fingerprint(models.load(Path(folder, f"part{part}.pt"), part)[1]["state_dict"])
            first = first or weights
            yield [] if weights == first else [f"other weights with {threads or 'no'} OMP_NUM_THREADS"]


CHECKS = (kill_training, kill_saving, two_trainings, interrupt, damage_checkpoints, strange_checkpoints, fuzz_arguments, disk_full, same_seed)

if __name__ == "__main__":
    torch.set_num_threads(1)
    rows = {row["check"]: row for row in read_rows("faults.csv")}
    for check in CHECKS:
        if sys.argv[1:] and check.__name__ not in sys.argv[1:]:
            continue
        random.seed(check.__name__)
        problems = list(check())
        failed = [problem for problem in problems if problem]
        rows[check.__name__] = {"check": check.__name__, "tries": len(problems), "failed": len(failed), "what": check.__doc__.split("\n")[0]}
        print(f"{check.__name__}: {len(problems)} tries, {len(failed)} failed", *failed[:5], sep="\n  ", flush=True)
        write_rows("faults.csv", [rows[each.__name__] for each in CHECKS if each.__name__ in rows])
    sys.exit(any(int(row["failed"]) for row in rows.values()))
