"""The two networks, and how they are saved and loaded.

Both are an `nn.RNN` and one output unit. At each step it reads a pair of digits x, and
updates its hidden state h, which is all of its memory and starts at 0:

    h <- relu(W_ih x + b_ih + W_hh h + b_hh),    logit = w·h + c: digit 1 if above 0.

What helps them to learn is in here too, so that the training loop can be plain: noise,
starting weights, and constraints as parametrizations. A checkpoint holds plain weights
without any of it.

Shapes: B batch, T time steps, H hidden units.
"""

import contextlib
import hashlib
import io
import os
import sys
import tempfile
import time
import warnings
from operator import attrgetter
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils import parametrize

DIGITS = 16  # of a number in Part 2, whose memory is sized for them
PIECE = 4096  # time steps that Part 1 reads in one call, so that memory stays flat


class RankOne(nn.Module):
    """Recurrent matrix (H, H) as an outer product u vᵀ.

    Then one number, v·h, is all that the network remembers from step to step. An adder
    needs no more, and a memory of one number can be proven right: see proof/part1.py.
    """

    def forward(self, u, v):
        return torch.outer(u, v)

    def right_inverse(self, matrix):
        """u and v of a matrix of rank one, for torch to start from."""
        row, column = divmod(matrix.abs().argmax().item(), matrix.shape[1])
        return matrix[:, column] / matrix[row, column], matrix[row]


class Tied(nn.Module):
    """Input weights (H, 2) with equal columns, as a + b = b + a.

    The network then sees column sums, 0 to 2, so its 2³² pairs are 3¹⁶ cases.
    """

    def forward(self, column):
        return column.repeat(1, 2)

    def right_inverse(self, matrix):
        return matrix.mean(dim=1, keepdim=True)


class Adder(nn.Module):
    """Layers of both networks, and noise on the digits while training.

    Gaussian noise of standard deviation `noise` on what is read becomes noise on what
    is remembered. Memory that barely holds then costs loss, and training finds memory
    that pulls itself back into place (Jim, Giles & Horne 1996).
    """

    def __init__(self, hidden, noise):
        super().__init__()
        if not 1 <= hidden <= 1000:
            raise ValueError(f"a network has 1 to 1000 hidden units, not {hidden}")
        self.hidden, self.noise = hidden, noise
        self.rnn = nn.RNN(2, hidden, nonlinearity="relu", batch_first=True)
        self.output = nn.Linear(hidden, 1)

    def add_noise(self, inputs):
        if not self.training:
            return inputs
        return inputs + self.noise * torch.randn_like(inputs)


class SynchronousAdder(Adder):
    """Part 1: a digit of each number in, a digit of the sum out, at every step.

    With `constrained`, the recurrent matrix is of rank one (see RankOne). With
    `counting`, unit j starts as relu(x₁ + x₂ + s - k_j), switching on at k_j, spread
    over what a column and its carry add up to, and s = v·h with random v. From
    PyTorch's own start, one of 30 seeds loses carries.
    """

    part, order, precision = 1, "lowest", torch.float32  # precision when deployed

    def __init__(self, hidden, noise, constrained=True, counting=True):
        super().__init__(hidden, noise)
        if counting:
            with torch.no_grad():
                v = self.rnn.weight_hh_l0[0].clone()
                self.rnn.weight_hh_l0.copy_(v.expand(hidden, hidden))
                self.rnn.weight_ih_l0.fill_(1)
                self.rnn.bias_ih_l0.copy_(-torch.linspace(-0.4, 2.75, hidden))
                self.rnn.bias_hh_l0.zero_()
        if constrained:
            parametrize.register_parametrization(self.rnn, "weight_hh_l0", RankOne())

    def forward(self, inputs):
        """Logits (B, T) of the sum's digits, from inputs (B, T, 2), lowest first."""
        state, logits = None, []
        with parametrize.cached():  # one outer product a call
            for piece in self.add_noise(inputs).split(PIECE, dim=1):
                states, state = self.rnn(piece, state)
                logits.append(self.output(states).squeeze(2))
        return torch.cat(logits, dim=1)


def rings(hidden, ring):
    """Recurrent matrix (H, H) of shift registers, each a ring of units.

    Unit k feeds unit k + 1, and a ring's last unit its first: what enters comes by
    again `ring` steps later, when Part 2 has to answer. Chains keep a memory where
    orthogonal matrices do not (Orhan & Pitkow 2020). The noise lets the rings differ.
    """
    matrix = 0.01 * torch.randn(hidden, hidden)
    for first in range(0, hidden - ring + 1, ring):
        for k in range(ring):
            matrix[first + (k + 1) % ring, first + k] += 1
    return matrix


class DelayedAdder(Adder):
    """Part 2: read every pair of digits, highest first; then, fed zeros, write the sum.

    Its last hidden state is all that it knows of the numbers when it writes. `ring` is
    the number of digits of a sum. With `constrained`, the columns of the input weights
    are equal (see Tied).
    """

    part, order, precision = 2, "highest", torch.float64  # trained in float32

    def __init__(self, hidden, noise, constrained=True, ring=DIGITS + 1):
        super().__init__(hidden, noise)
        with torch.no_grad():
            self.rnn.weight_hh_l0.copy_(rings(hidden, ring))
        if constrained:
            parametrize.register_parametrization(self.rnn, "weight_ih_l0", Tied())

    def forward(self, inputs):
        """Logits (B, T) of the sum's digits, from inputs (B, T, 2), highest first."""
        steps = inputs.shape[1]
        inputs = torch.cat((self.add_noise(inputs), torch.zeros_like(inputs)), dim=1)
        with parametrize.cached():
            states, _ = self.rnn(inputs)
        return self.output(states[:, steps:]).squeeze(2)


MODELS = {1: SynchronousAdder, 2: DelayedAdder}
WEIGHTS = ("rnn.weight_ih_l0", "rnn.weight_hh_l0", "rnn.bias_ih_l0", "rnn.bias_hh_l0",
           "output.weight", "output.bias")


class UserError(Exception):
    """Something that the user of a script can mend; the message says how."""


def prepare_device(name="auto"):
    """Torch device for "auto", "cpu" or "cuda", with torch set up for it.

    On the CPU it sets one thread, unless OMP_NUM_THREADS is set: on matrices this small
    a second thread costs more than it brings. It turns off TF32 and bfloat16, since the
    proof is about float32. Raises UserError if the device cannot be used.
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
        exact = torch.equal(matrix @ torch.eye(64, device="cuda"), matrix)
    except (RuntimeError, AssertionError) as error:  # a torch without CUDA asserts
        reason = str(error).partition("\n")[0]
        raise UserError(f"cuda cannot be used ({reason}); try --device cpu.") from None
    if not exact:  # TORCH_ALLOW_TF32_CUBLAS_OVERRIDE beats all settings
        raise UserError("cuda computes in TF32, not float32; try --device cpu.")
    return torch.device("cuda")


@contextlib.contextmanager
def user_errors(parser):
    """Context of a script: ends it with one sentence for what its user can mend."""
    if hasattr(sys.stdout, "reconfigure"):  # a notebook's has no such method
        sys.stdout.reconfigure(errors="backslashreplace")  # for odd file names
    try:
        yield
        print(end="", flush=True)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except (UserError, FloatingPointError) as error:
        parser.error(str(error))
    except BrokenPipeError:  # who reads the output, say head, has enough
        sys.exit(2)
    except OSError as error:
        parser.error(f"{error.filename or 'output'}: {error.strerror}.")


def save(model, path, epoch, loss, seed):
    """Write a checkpoint: the six plain weights, and where they come from.

    Raises OSError if the file cannot be written; what was there before then stays.
    """
    weights = plain_weights(model)
    checkpoint = dict(part=model.part, hidden=model.hidden, state_dict=weights,
                      epoch=epoch, loss=loss, seed=seed, sha256=fingerprint(weights))
    content = io.BytesIO()
    torch.save(checkpoint, content)
    write_whole(path, content.getvalue())


def write_whole(path, content):
    """Write bytes to a file, whole or not at all. Raises OSError if that fails."""
    real = Path(os.path.realpath(path))
    if real.exists() and not real.is_file():  # a device, such as /dev/null
        real.write_bytes(content)
        return
    try:
        handle, temporary = tempfile.mkstemp(prefix=real.name, dir=real.parent)
        try:
            with open(handle, "wb") as file:
                file.write(content)
            os.chmod(temporary, 0o644)  # mkstemp lets nobody else read it
            _replace(temporary, real)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:  # which names the temporary file
        raise OSError(error.errno, error.strerror, str(path)) from None


def _replace(source, target):
    for wait in (0.1, 0.5):
        try:
            return os.replace(source, target)
        except PermissionError:  # on Windows, while a virus scanner reads the target
            time.sleep(wait)
    os.replace(source, target)


def load(path, part, device="cpu"):
    """Network of a checkpoint, ready to deploy, and the checkpoint's dict.

    A bare `model.state_dict()` will do; epoch, loss and seed are then missing. Part 2
    is deployed in float64, for which it is proven (see proof/part2.py).
    Raises UserError if the checkpoint is unusable.
    """
    checkpoint = _read(path, part)
    try:
        if "state_dict" not in checkpoint:
            checkpoint = {"state_dict": checkpoint}
        facts = _check(checkpoint, part)
    except Exception as error:  # what others put into a file fails in many ways
        problem = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        problem = " ".join(problem.split())  # torch's have several lines
        raise UserError(f"{path} is not a checkpoint of Part {part} ({problem});"
                        f" train_part{part}.py writes one.") from None
    model = MODELS[part](facts["hidden"], 0.0, constrained=False)
    model.load_state_dict(facts["state_dict"])
    return model.to(device, model.precision).eval(), {**checkpoint, **facts}


def plain_weights(model):
    """State dict of the six weights, without constraints, as float32 on the CPU."""
    weights = {name: attrgetter(name)(model).detach() for name in WEIGHTS}
    return {name: weight.to("cpu", torch.float32, copy=True)
            for name, weight in weights.items()}


def fingerprint(weights):
    """SHA-256 of plain weights as hexadecimal text: the name of a network."""
    content = b"".join(weights[name].numpy().tobytes() for name in WEIGHTS)
    return hashlib.sha256(content).hexdigest()


def _read(path, part):
    try:
        if os.path.getsize(path) < 2**24:  # ours take 3 to 45 kB
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of other pickle protocols
                return torch.load(path, map_location="cpu", weights_only=True)
        problem = "is too large to be a checkpoint"
    except FileNotFoundError:
        problem = f"does not exist; python train_part{part}.py trains a network"
    except OSError as error:
        problem = f"cannot be read: {error.strerror or error}"
    except Exception:  # weights_only refuses what is not ours, in many ways
        problem = "is damaged, or not a file of plain weights"
    raise UserError(f"{path} {problem}.")


def _check(checkpoint, part):
    """What a checkpoint's weights say of it. Raises all kinds of errors."""
    weights = checkpoint["state_dict"]
    if not isinstance(weights, dict):
        raise ValueError("it holds no weights by name")
    constrained = any("parametrizations" in name for name in weights)
    if not constrained and set(weights) != set(WEIGHTS):
        raise ValueError(f"its weights must have the names {', '.join(WEIGHTS)}")
    hidden = len(weights["rnn.bias_ih_l0"])
    model = MODELS[part](hidden, 0.0, constrained)
    model.load_state_dict(weights)
    weights = plain_weights(model)
    facts = {"part": part, "hidden": hidden, "sha256": fingerprint(weights)}
    for name, value in facts.items():
        if checkpoint.get(name, value) != value:  # its SHA-256 finds damage
            raise ValueError(f"its {name} is {checkpoint[name]!r}, not {value!r}")
    for name in ("epoch", "seed"):  # text would be printed, whatever it says
        if type(checkpoint.get(name, 0)) is not int:
            raise ValueError(f"its {name} is not a whole number")
    if not all(weight.isfinite().all() for weight in weights.values()):
        raise ValueError("not all of its weights are finite")
    return {**facts, "state_dict": weights}
