"""The two networks, and how they are saved and loaded.

Both are an `nn.RNN` with two input units and ReLU, and one output unit that gives a logit: above zero is digit 1.
What helps them to learn is in here too, and the training loop knows nothing of it: noise on the digits, the
weights to start from, and constraints on them as parametrizations. A checkpoint holds plain weights, without either.

Tensors: B batch, T time steps, H hidden units.
"""

import contextlib
import hashlib
import io
import os
import time
import zipfile
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils import parametrize


class RankOne(nn.Module):
    """The recurrent matrix (H, H) as an outer product u vᵀ: from step to step the network remembers one number, v·h.

    An adder needs to remember one carry and no more. On one number it can be proven right: see certify.py.
    """

    def forward(self, u, v):
        return torch.outer(u, v)

    def right_inverse(self, matrix):
        """u, v with the row and the column of the largest entry: exact for a matrix that is of rank one."""
        row, column = divmod(matrix.abs().argmax().item(), matrix.shape[1])
        return matrix[:, column] / matrix[row, column], matrix[row]


class Adder(nn.Module):
    """What both parts share: the layers, and noise on the digits while training.

    Gaussian noise of standard deviation `noise` is added to the digits that it reads, and so to all that it
    remembers. Memory that only just holds then loses the carry and costs loss, so training finds memory that pulls
    itself back into place (noise in recurrent training: Jim, Giles & Horne 1996).
    """

    part = None

    def __init__(self, hidden, noise):
        super().__init__()
        self.hidden, self.noise = hidden, noise
        self.rnn = nn.RNN(2, hidden, nonlinearity="relu", batch_first=True)
        self.output = nn.Linear(hidden, 1)

    def blur(self, inputs):
        return inputs + self.noise * torch.randn_like(inputs) if self.training and self.noise else inputs


class SynchronousAdder(Adder):
    """Part 1: one digit of each number in, one digit of the sum out, at every step; lowest digit first.

    With `constrained`, the recurrent matrix is of rank one (see RankOne). With `counting`, it starts with units that count:
    unit j is relu(x₁ + x₂ + s - k_j), with the kinks k_j spread over what a column and its carry can add up to, and
    s = v·h with random v. What to remember and what to write is left to learn. From PyTorch's start
    three of three seeds are proven too (experiments/sweep_part1.py); at a third of the learning rate three of 32 were not.
    """

    part = 1

    def __init__(self, hidden=10, noise=0.1, constrained=True, counting=True):
        super().__init__(hidden, noise)
        if counting:
            with torch.no_grad():
                self.rnn.weight_ih_l0.fill_(1)
                self.rnn.weight_hh_l0.copy_(self.rnn.weight_hh_l0[0].expand(hidden, hidden).clone())
                self.rnn.bias_ih_l0.copy_(-torch.linspace(-0.4, 2.75, hidden))
                self.rnn.bias_hh_l0.zero_()
        if constrained:
            parametrize.register_parametrization(self.rnn, "weight_hh_l0", RankOne())

    def forward(self, inputs):
        """Inputs (B, T, 2) to the logits of the sum's digits (B, T)."""
        return self.advance(self.blur(inputs))[0]

    def advance(self, inputs, state=None):
        """One piece of a sequence: inputs (B, T, 2) and the state before them to logits (B, T) and the state after.

        States are (1, B, H); None is the one of zeros, where every sum starts.
        """
        with parametrize.cached():  # make the outer product once, not at every access
            states, state = self.rnn(inputs, state)
        return self.output(states).squeeze(2), state


class Tied(nn.Module):
    """Input weights (H, 2) with two equal columns, as a + b = b + a: the network sees only the sum of the two digits.

    So 2³² pairs of 16-digit numbers are 3¹⁶ cases, and certify.py can try them all.
    """

    def forward(self, column):
        return column.repeat(1, 2)

    def right_inverse(self, matrix):
        return matrix.mean(dim=1, keepdim=True)


def rings(hidden, ring):
    """A recurrent matrix (H, H) of shift registers: in each ring unit k feeds unit k + 1, and the last feeds the first.

    What enters a ring comes by again `ring` steps later, which is when Part 2 has to answer. Chains keep a memory
    where orthogonal matrices do not (Orhan & Pitkow 2020); the noise of 0.01 lets the rings learn different things.
    """
    matrix = 0.01 * torch.randn(hidden, hidden)
    for first in range(0, hidden - ring + 1, ring):
        for k in range(ring):
            matrix[first + (k + 1) % ring, first + k] += 1
    return matrix


class DelayedAdder(Adder):
    """Part 2: read every digit pair, highest first, in silence; then, fed with zeros, write the sum, highest first.

    All that it knows of the numbers when it writes is its last hidden state. `ring` is the number of digits of a
    sum, 17 for 16-digit numbers. With `constrained`, the two columns of the input weights are equal (see Tied).
    """

    part = 2

    def __init__(self, hidden=100, noise=0.05, constrained=True, ring=17):
        super().__init__(hidden, noise)
        with torch.no_grad():
            self.rnn.weight_hh_l0.copy_(rings(hidden, ring))
        if constrained:
            parametrize.register_parametrization(self.rnn, "weight_ih_l0", Tied())

    def forward(self, inputs):
        """Inputs (B, T, 2) to the logits of the sum's digits (B, T)."""
        inputs = torch.cat((self.blur(inputs), torch.zeros_like(inputs)), dim=1)
        with parametrize.cached():
            states, _ = self.rnn(inputs)
        return self.output(states[:, inputs.shape[1] // 2 :]).squeeze(2)


MODELS = {model.part: model for model in (SynchronousAdder, DelayedAdder)}
WEIGHTS = ("rnn.weight_ih_l0", "rnn.weight_hh_l0", "rnn.bias_ih_l0", "rnn.bias_hh_l0", "output.weight", "output.bias")
LARGEST_FILE = 16 * 2**20  # bytes; ours have some kilobytes, so what is larger is something else


class CheckpointError(Exception):
    """A checkpoint that cannot be used. The message is a sentence for the user."""


def choose_device(name="auto"):
    """The torch device for "auto", "cpu" or "cuda". Raises ValueError when it is not there.

    On the CPU it also sets one thread, unless OMP_NUM_THREADS says otherwise: on matrices this small a second thread
    costs more in waiting than it brings. On a GPU it turns off TF32, which would round the weights to ten bits.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("torch sees no CUDA device here; leave --device away, or install torch for CUDA.")
    device = torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.allow_tf32 = False
    if device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    return device


def save(model, path, epoch, loss, seed):
    """Write a checkpoint: the six plain weights, and where they come from. Raises OSError when it cannot."""
    weights = {name: _weight(model, name).detach().cpu().clone() for name in WEIGHTS}
    checkpoint = dict(part=model.part, hidden=model.hidden, state_dict=weights, epoch=epoch, loss=loss, seed=seed)
    write_whole(path, lambda file: torch.save(checkpoint, file))


def write_whole(path, write):
    """Call `write` with a binary file whose content appears at `path` whole or not at all: written beside, flushed, moved over it.

    Raises OSError, which names the path, where that is not possible; what was there before then stays. `write` gets a file
    in memory, since what torch and matplotlib raise on a full disk is not always an OSError.
    """
    content = io.BytesIO()
    write(content)
    path = Path(path)
    for left in path.parent.glob(f"{path.name}.*.tmp"):  # by a process that was killed while it wrote
        if time.time() - left.stat().st_mtime > 60:
            left.unlink(missing_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)
        raise


def load(path, part, device="cpu"):
    """Read a checkpoint that `save` wrote: the network, ready to deploy, and the dict that was saved.

    Raises CheckpointError, with a sentence that says what is wrong with the file.
    """
    checkpoint = _read(path)
    _check(checkpoint, path, part)
    model = MODELS[part](checkpoint["hidden"], constrained=False)
    model.load_state_dict(checkpoint["state_dict"])
    return model.to(device).eval(), checkpoint


def fingerprint(state_dict):
    """SHA-256 of the weights, as hexadecimal text: evidence names the network that it speaks of by it."""
    weights = b"".join(state_dict[name].numpy().tobytes() for name in WEIGHTS)
    return hashlib.sha256(weights).hexdigest()


def _weight(model, name):
    layer, parameter = name.split(".")
    return getattr(getattr(model, layer), parameter)


def _read(path):
    """The checkpoint as a plain object. Nothing in the file is run, and no more memory taken than the file has bytes."""
    try:
        if Path(path).stat().st_size > LARGEST_FILE:
            raise CheckpointError(f"{path} is larger than any checkpoint of these networks; give one that a training script wrote.")
        with zipfile.ZipFile(path) as archive:
            # Compressed entries may be of any size; what is marked as a folder, 0x10, torch would not read, and take memory as it is.
            plain = all(entry.compress_type == zipfile.ZIP_STORED and not entry.external_attr & 0x10 for entry in archive.infolist())
            whole = plain and archive.testzip() is None
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist; train a network first, or name its file with --model.") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from None
    except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError, EOFError):
        whole = False
    broken = CheckpointError(f"{path} is no checkpoint, or a damaged one; give one that a training script wrote.")
    if not whole:
        raise broken
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # whatever a file can hold that is not ours; with weights_only it is refused, never run
        raise broken from None


def _check(checkpoint, path, part):
    def wrong(what):
        raise CheckpointError(f"{path} is not a checkpoint of Part {part}: {what}.")

    if not isinstance(checkpoint, dict):
        wrong(f"it holds a {type(checkpoint).__name__} and not a dict")
    for key, kind in dict(part=int, hidden=int, state_dict=dict, epoch=int, loss=float, seed=int).items():
        if type(checkpoint.get(key)) is not kind:
            wrong(f"its entry {key!r} is missing or no {kind.__name__}")
    if checkpoint["part"] != part:
        wrong(f"it says that it is of Part {checkpoint['part']}")
    hidden, weights = checkpoint["hidden"], checkpoint["state_dict"]
    if not 1 <= hidden <= 1000:
        wrong(f"{hidden} hidden units is none of the sizes from 1 to 1000")
    shapes = ((hidden, 2), (hidden, hidden), (hidden,), (hidden,), (1, hidden), (1,))
    if set(weights) != set(WEIGHTS):
        wrong(f"its weights must be {', '.join(WEIGHTS)}")
    for name, shape in zip(WEIGHTS, shapes):
        weight = weights[name]
        if not isinstance(weight, torch.Tensor) or weight.shape != shape or weight.dtype != torch.float32:
            wrong(f"{name} must be a float32 tensor of shape {shape}")
        if weight.layout != torch.strided or not weight.isfinite().all():
            wrong(f"{name} has values that are not finite")
