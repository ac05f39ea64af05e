"""Train Part 1: a recurrent network of ten ReLU units that adds binary numbers.

    python train_part1.py          writes runs/part1.pt and runs/part1_loss.png
    python deploy.py 180 23        adds with it

The training loop, `train`, and what is around it, `fit` and `run`, serve Part 2 too.
"""

import argparse
import io
import math
import os
import sys
import time
import zlib
from pathlib import Path

if "ipykernel" not in sys.modules:  # a notebook's own backend is there
    os.environ["MPLBACKEND"] = "agg"  # the user's may not be installed here

import torch
from matplotlib import style
from matplotlib.figure import Figure
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils import clip_grad_norm_, parameters_to_vector, vector_to_parameters
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader

from dataset import BinaryAddition
from models import SynchronousAdder, prepare_device, save, user_errors, write_whole

BATCH = 128  # sums in a mini-batch


def part1(
    hidden=10,
    noise=0.1,  # no noise: 4 of 50
    constrained=True,  # not of rank one: 94 of 100
    counting=True,  # PyTorch's start: 128 of 130
    lr=3e-2,
    clip=1.0,  # no clipping: 77 of 80
):
    """Part 1's settings: the arguments of `train`, and the held-out data.

    Beside a setting: how many seeds were proven when it was changed; as it is, 248 of
    250 (experiments/part1_ablation.py). Draws the starting weights: seed torch before.
    """
    model = SynchronousAdder(hidden, noise, constrained, counting)
    data = BinaryAddition(100 * BATCH, max_digits=16, order=model.order)
    held_out = BinaryAddition(1024, min_digits=32, max_digits=32, order=model.order)
    return dict(model=model, data=data, lr=lr, clip=clip), held_out


def train(model, data, lr, weight_decay=0.0, clip=None, recent=math.inf, epochs=100):
    """Train, and yield the mean loss of each epoch; the model may then be used.

    lr      peak of the learning rate, which rises to it and then falls to nearly zero
    clip    largest norm of a gradient, which can explode in a ReLU RNN; None: any
    recent  at a yield, the model has the average of the weights over about the last
            1/recent of the steps (Shamir & Zhang 2013); the loss is of the latest ones

    Raises FloatingPointError if the loss is not finite.
    """
    weights = list(model.parameters())
    device = weights[0].device
    latest = average = parameters_to_vector(weights).detach()
    loader = DataLoader(data, BATCH)
    optimizer = AdamW(weights, lr, weight_decay=weight_decay)
    schedule = OneCycleLR(optimizer, lr, total_steps=epochs * len(loader))
    for epoch in range(epochs):
        model.train()
        vector_to_parameters(latest, weights)
        total = 0.0
        for step, (inputs, sums) in enumerate(loader, epoch * len(loader)):
            logits = model(inputs.to(device))
            loss = binary_cross_entropy_with_logits(logits, sums.to(device))
            optimizer.zero_grad()
            loss.backward()
            if clip:
                clip_grad_norm_(weights, clip)
            optimizer.step()
            schedule.step()
            latest = parameters_to_vector(weights).detach()
            average = average.lerp(latest, 1 / (1 + step / recent))
            total += loss.item()
        if not math.isfinite(total):
            raise FloatingPointError("the loss diverged; try another --seed.")
        vector_to_parameters(average, weights)
        with torch.no_grad():
            model.to(device)  # else an nn.RNN keeps its graph, and deepcopy fails
        yield total / len(loader)


def evaluate(model, inputs, sums):
    """Shares of digits right and of sums exactly right, on (B, T, 2) and (B, T)."""
    model.eval()
    with torch.no_grad():
        right = (model(inputs) > 0) == sums.bool()
    return right.float().mean().item(), right.all(1).float().mean().item()


def fit(training, held_out, path, seed, epochs=100, device="cpu"):
    """Train, save the best epoch's network to a path, if any, and yield every epoch.

    It yields the loss, and the shares of held-out digits and sums that are right.
    """
    model, best = training["model"].to(device), math.inf
    examples = [x.to(device) for x in next(iter(DataLoader(held_out, len(held_out))))]
    for epoch, loss in enumerate(train(**training, epochs=epochs), 1):
        shares = evaluate(model, *examples)
        if loss < best and path:  # an average is not the very weights of this loss
            save(model, path, epoch, loss, seed)
        best = min(loss, best)
        yield loss, *shares


def plot(losses, path, part):
    """Draw the loss of every epoch to a PNG file, with the best one marked."""
    epochs, best = len(losses), losses.index(min(losses))
    content = io.BytesIO()
    with style.context("default"):  # whatever the user's is
        figure = Figure(figsize=(4.6, 2.9), layout="constrained")
        axes = figure.subplots()
        axes.semilogy(range(1, epochs + 1), losses, color="#0072b2")
        label = f"best, and saved: epoch {best + 1}, {losses[best]:.1e}"
        axes.plot(best + 1, losses[best], "o", color="#d55e00", ms=8, label=label)
        axes.legend()
        axes.grid(alpha=0.3)
        fall = f"from {losses[0]:.2g} to {losses[best]:.1e}"
        axes.set(xlabel="epoch", ylabel="mean cross entropy a digit (nats)",
                 title=f"Part {part}: the loss falls {fall}")
        figure.savefig(content, format="png", dpi=200)
    write_whole(path, content.getvalue())


def run(part, settings, description):
    """Command line of both training scripts."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    option = parser.add_argument
    option("--epochs", type=int, default=100, help="default: 100")
    option("--seed", type=int, default=0, help="default: 0")
    option("--out", type=Path, default="runs", help="folder, default: runs")
    option("--device", choices=("auto", "cpu", "cuda"), default="auto")
    with user_errors(parser):
        arguments = parser.parse_args()
        epochs, seed = arguments.epochs, arguments.seed
        if epochs < 1 or not 0 <= seed < 2**63:
            parser.error("--epochs must be at least 1, and --seed from 0 to 2^63 - 1.")
        device = prepare_device(arguments.device)
        path = arguments.out / f"part{part}.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        keep_earlier(path)
        print(f"Part {part}, seed {seed}, on {device}", flush=True)
        torch.manual_seed(seed)
        losses, start = [], time.perf_counter()
        try:
            for loss, digits, sums in fit(*settings(), path, seed, epochs, device):
                saved = "  saved" * (loss < min(losses, default=math.inf))
                losses.append(loss)
                left = (time.perf_counter() - start) * (epochs / len(losses) - 1)
                print(f"epoch {len(losses):3}/{epochs}  loss {loss:.2e}"
                      f"  digits {100 * digits:6.2f} %  sums {100 * sums:6.2f} %"
                      f"  {left:.0f} s to go{saved}", flush=True)
        finally:  # Ctrl-C keeps the best so far
            if losses:
                print(f"wrote {path}, loss {min(losses):.2e}", flush=True)
                picture = path.with_name(f"part{part}_loss.png")
                plot(losses, picture, part)
                print(f"wrote {picture}")


def keep_earlier(path):
    """Copy a checkpoint that training will overwrite, to a name from its hash."""
    if path.is_file():
        content = path.read_bytes()
        copy = path.with_name(f"{path.stem}-{zlib.crc32(content):08x}.pt")
        write_whole(copy, content)
        print(f"the {path} of before is kept as {copy}")


if __name__ == "__main__":
    run(1, part1, __doc__)
