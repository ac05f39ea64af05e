"""The two networks, how they are saved and loaded, and what the scripts share.

Both are an `nn.RNN` and one output unit. At each step it reads a pair of digits x, and
updates its hidden state h, which is all of its memory and starts at 0:

    h <- relu(W_ih x + b_ih + W_hh h + b_hh),    logit = w·h + c: digit 1 if above 0.

Shapes have B for batch, T for time steps, H for hidden units.
"""

import contextlib
import hashlib
import io
import os
import sys
import time
import traceback
import warnings
from operator import attrgetter
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils.parametrize import register_parametrization

DIGITS = 16  # of a number in Part 2, whose memory is sized for them


# Networks, and the constraint of each.

class Adder(nn.Module):
    """What both networks are: an RNN, an output unit, and noise while training.

    Gaussian noise of standard deviation `noise` on what is read becomes noise on what
    is remembered. Memory that barely holds then costs loss, and training finds memory
    that pulls itself back into place (Jim, Giles & Horne 1996). With `delayed`, it is
    fed zeros after the inputs, and writes only then.
    """

    def __init__(self, hidden, noise, delayed=False):
        super().__init__()
        if not 1 <= hidden <= 1000:  # what proof/part2.py covers
            raise ValueError(f"a network has 1 to 1000 hidden units, not {hidden}")
        self.hidden, self.noise, self.delayed = hidden, noise, delayed
        self.rnn = nn.RNN(2, hidden, nonlinearity="relu", batch_first=True)
        self.output = nn.Linear(hidden, 1)

    def forward(self, inputs):
        """Logits (B, T) of the sum's digits, from inputs (B, T, 2), in its order."""
        steps = inputs.shape[1]
        if self.training:
            inputs = inputs + self.noise * torch.randn_like(inputs)
        if self.delayed:
            inputs = torch.cat((inputs, torch.zeros_like(inputs)), dim=1)
        states, _ = self.rnn(inputs)
        return self.output(states[:, -steps:]).squeeze(2)


class RankOne(nn.Module):
    """Recurrent matrix (H, H) as an outer product u vᵀ.

    Then one number, v·h, is all that the network remembers from step to step. An adder
    needs no more, and a memory of one number can be proven right: see proof/part1.py.
    """

    def forward(self, u, v):
        return torch.outer(u, v)

    def right_inverse(self, matrix):
        """u and v to start from: column and row of the matrix's largest entry."""
        row, column = divmod(matrix.abs().argmax().item(), matrix.shape[1])
        return matrix[:, column] / matrix[row, column], matrix[row]


class SynchronousAdder(Adder):
    """Part 1: a digit of each number in, a digit of the sum out, at every step.

    With `constrained`, the recurrent matrix is of rank one (see RankOne). With
    `counting`, unit j starts as relu(x₁ + x₂ + s - k_j), switching on at k_j, spread
    over what a column and its carry add up to, and s = v·h with small random v. The
    digit alternates with that total, and so do the signs of the output weights: else
    training may switch off all units at 0 + 0, for good (a dying ReLU).
    """

    part = 1
    order = "lowest"  # digit first
    precision = torch.float32  # when deployed

    def __init__(self, hidden, noise, constrained=True, counting=True):
        super().__init__(hidden, noise)
        if counting:
            with torch.no_grad():
                self.rnn.weight_hh_l0[:] = 0.3 * self.rnn.weight_hh_l0[0]
                self.rnn.weight_ih_l0.fill_(1)
                self.rnn.bias_ih_l0.copy_(-torch.linspace(-0.4, 2.75, hidden))
                self.rnn.bias_hh_l0.zero_()
                self.output.weight.abs_()[:, ::2].neg_()
        if constrained:
            register_parametrization(self.rnn, "weight_hh_l0", RankOne())


class Tied(nn.Module):
    """Input weights (H, 2) with equal columns, as a + b = b + a.

    The network then sees column sums, 0 to 2, so its 2³² pairs are 3¹⁶ cases.
    """

    def forward(self, column):
        return column.repeat(1, 2)

    def right_inverse(self, matrix):
        return matrix.mean(dim=1, keepdim=True)


def rings(hidden, ring):
    """Recurrent matrix (H, H) of shift registers, each a ring of units.

    Unit k feeds unit k + 1, and a ring's last unit its first: what enters comes by
    again `ring` steps later, when Part 2 has to answer (see Keller et al. 2024). The
    noise lets the rings differ; units left over, too few for a ring, get only that.
    """
    matrix = 0.01 * torch.randn(hidden, hidden)
    for k in range(hidden - hidden % ring):
        matrix[k - k % ring + (k + 1) % ring, k] += 1
    return matrix


class DelayedAdder(Adder):
    """Part 2: read every pair of digits, highest first; then, fed zeros, write the sum.

    Its last hidden state is all that it knows of the numbers when it writes. `ring` is
    the number of digits of a sum. With `constrained`, the columns of the input weights
    are equal (see Tied).
    """

    part = 2
    order = "highest"  # digit first
    precision = torch.float64  # when deployed: proven for it, trained in float32

    def __init__(self, hidden, noise, constrained=True, ring=DIGITS + 1):
        super().__init__(hidden, noise, delayed=True)
        self.rnn.weight_hh_l0 = nn.Parameter(rings(hidden, ring))
        if constrained:
            register_parametrization(self.rnn, "weight_ih_l0", Tied())


# Saving and loading: a checkpoint is a dict of plain values and six plain weights.

MODELS = {1: SynchronousAdder, 2: DelayedAdder}
WEIGHTS = ("rnn.weight_ih_l0", "rnn.weight_hh_l0", "rnn.bias_ih_l0", "rnn.bias_hh_l0",
           "output.weight", "output.bias")


def save(model, path, epoch, loss, seed):
    """Write a checkpoint: the six plain weights, and where they come from."""
    weights = plain_weights(model)
    checkpoint = dict(part=model.part, hidden=model.hidden, state_dict=weights,
                      epoch=epoch, loss=loss, seed=seed, sha256=fingerprint(weights))
    content = io.BytesIO()
    torch.save(checkpoint, content)
    write_whole(path, content.getvalue())


def plain_weights(model):
    """State dict of the six weights, without constraints, as float32 on the CPU."""
    return {name: attrgetter(name)(model).detach().to("cpu", torch.float32, copy=True)
            for name in WEIGHTS}


def fingerprint(weights):
    """SHA-256 of plain weights as hexadecimal text: the name of a network."""
    content = b"".join(weights[name].numpy().tobytes() for name in WEIGHTS)
    return hashlib.sha256(content).hexdigest()


def write_whole(path, content):
    """Write bytes to a file, whole or not at all. Raises OSError if that fails."""
    target = Path(os.path.realpath(path))  # a link stays a link
    if target.exists() and not target.is_file():  # a device, such as /dev/null
        return Path(path).write_bytes(content)
    unfinished = target.with_name(f"unfinished-{os.urandom(8).hex()}")
    try:
        unfinished.write_bytes(content)
        try:
            os.replace(unfinished, target)
        except PermissionError:  # on Windows, while a virus scanner reads the target
            time.sleep(0.5)
            os.replace(unfinished, target)
    except OSError as error:  # which names the unfinished file
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        unfinished.unlink(missing_ok=True)


def load(path, part, device="cpu"):
    """Network of a checkpoint, ready to deploy, and the checkpoint's dict.

    A file of the six weights alone will do; epoch, loss and seed are then missing.
    Raises UserError if the checkpoint is unusable, OSError if it cannot be read.
    """
    if not Path(path).is_file():
        raise UserError(f"{path} does not exist, or is no file;"
                        f" python train_part{part}.py trains a network.")
    content = io.BytesIO(Path(path).read_bytes())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles by other versions
            checkpoint = torch.load(content, map_location="cpu", weights_only=True)
        if "state_dict" not in checkpoint:
            checkpoint = {"state_dict": checkpoint}
        model = MODELS[part](len(checkpoint["state_dict"][WEIGHTS[2]]), 0.0, False)
        model.load_state_dict(checkpoint["state_dict"])  # checks names and shapes
        weights = plain_weights(model)
        facts = {"part": part, "hidden": model.hidden, "sha256": fingerprint(weights)}
        problems = [f"its {name} is {checkpoint[name]!r:.70}, not {value!r}"
                    for name, value in facts.items()  # its SHA-256 finds damage
                    if checkpoint.get(name, value) != value]
        if not all(weight.isfinite().all() for weight in weights.values()):
            problems.append("not all of its weights are finite")
    except Exception:  # torch's words are no help: some advise to load it unchecked
        problems = ["it is damaged, or holds something else than weights by the names"
                    f" {', '.join(WEIGHTS)}"]
    if problems:
        raise UserError(f"{path} is not a checkpoint of Part {part} ({problems[0]});"
                        f" train_part{part}.py writes one.")
    checkpoint |= facts | {"state_dict": weights}
    return model.to(device, model.precision).eval(), checkpoint


# Running a script.

class UserError(Exception):
    """Something that the user of a script can mend; the message says how."""


def prepare_device(name="auto"):
    """Torch device for "auto", "cpu" or "cuda", with torch set up for it.

    The CPU gets one thread, unless OMP_NUM_THREADS is set: matrices this small gain
    nothing from two. No TF32 or bfloat16, as the proof is about float32. Raises
    UserError if the device cannot be used.
    """
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    os.environ["ONEDNN_DEFAULT_FPMATH_MODE"] = "STRICT"  # read at its first product
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(1)
        return torch.device("cpu")
    try:
        matrix = torch.full((64, 64), 1 + 2**-20, device="cuda")
        if not torch.equal(matrix @ torch.eye(64, device="cuda"), matrix):
            raise RuntimeError("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE turned TF32 on")
    except (RuntimeError, AssertionError) as error:  # a torch without CUDA asserts
        reason = str(error).partition("\n")[0]
        raise UserError(f"cuda cannot be used ({reason}); try --device cpu.") from None
    return torch.device("cuda")


@contextlib.contextmanager
def user_errors(parser):
    """Context of a script: what goes wrong is a sentence, and ends it with status 2."""
    sys.stderr = sys.stderr or open(os.devnull, "w")  # if closed, as by 2>&-
    if hasattr(sys.stdout, "reconfigure"):  # a notebook's has no such method
        sys.stdout.reconfigure(errors="backslashreplace")  # for odd file names
    try:
        yield
        print(end="", flush=True)
    except KeyboardInterrupt:
        parser.exit(130, "interrupted\n")
    except (UserError, FloatingPointError) as error:
        parser.error(str(error))
    except BrokenPipeError:  # who reads the output, say head, has enough
        sys.exit(2)
    except OSError as error:
        name = error.filename2 or error.filename or "output"  # 2: what a copy writes
        parser.error(f"{name}: {error.strerror}.")
    except Exception as error:  # with its place in these files, for who changes them
        root = Path(__file__).parent
        here = [line for line in traceback.extract_tb(error.__traceback__)
                if Path(line.filename).is_relative_to(root)
                and "site-packages" not in line.filename.removeprefix(str(root))]
        place = f"{Path(here[-1].filename).name}, line {here[-1].lineno}"
        parser.error(f"{type(error).__name__}: {error} ({place})")
