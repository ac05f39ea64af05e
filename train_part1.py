"""Train Part 1: a recurrent network of ten ReLU units that adds binary numbers.

    python train_part1.py          writes runs/part1.pt and runs/part1_loss.png
    python deploy.py 180 23        adds with it

The training loop, `train`, and the command line around it, `run`, serve Part 2 too.
"""

import argparse
import hashlib
import io
import math
import shutil
import sys
import time
from pathlib import Path

from dataset import BinaryAddition  # first: it tells what to do if torch is missing

import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils import clip_grad_norm_, parameters_to_vector, vector_to_parameters
from torch.optim import Adam
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader

from models import SynchronousAdder, prepare_device, save, user_errors, write_whole

try:
    from matplotlib.figure import Figure
except Exception as error:  # missing, broken, or MPLBACKEND names no backend
    Figure, no_plot = None, error

BATCH = 128  # sums in a mini-batch


def part1():
    """Part 1's settings: the arguments of `train`, and the held-out data.

    To be called after seeding, since it draws the starting weights.
    """
    model = SynchronousAdder(hidden=10, noise=0.1)
    training = {
        "model": model,
        "data": BinaryAddition(size=100 * BATCH, max_digits=16, order=model.order),
        "optimizer": Adam(model.parameters(), lr=3e-2),
        "clip": 1.0,
        "recent": None,
    }
    longer = {"min_digits": 32, "max_digits": 32}
    return training, BinaryAddition(size=1024, order=model.order, **longer)


def train(model, data, optimizer, clip, recent, epochs=100):
    """Train, and yield the mean loss of each epoch; the model may then be used.

    optimizer  of the model's parameters; its learning rate is the peak of a one-cycle
               schedule, which rises to it and then falls to nearly zero
    clip       largest norm of a gradient, which can explode in a ReLU RNN; None: any
    recent     None: at a yield, the model has the weights that were trained. 10: it has
               their average over about the last tenth of the steps (polynomial decay:
               Shamir & Zhang 2013), while the loss is still that of the trained ones

    Raises FloatingPointError if the loss is not finite.
    """
    weights = list(model.parameters())
    device, rate = weights[0].device, optimizer.defaults["lr"]
    latest = average = parameters_to_vector(weights).detach()
    steps = 0
    loader = DataLoader(data, BATCH)
    schedule = OneCycleLR(optimizer, rate, total_steps=epochs * len(loader))
    for _ in range(epochs):
        model.train()
        if recent:
            vector_to_parameters(latest, weights)
        total = torch.zeros((), device=device)
        for inputs, sums in loader:
            logits = model(inputs.to(device))
            loss = binary_cross_entropy_with_logits(logits, sums.to(device))
            optimizer.zero_grad()
            loss.backward()
            if clip:
                clip_grad_norm_(weights, clip)
            optimizer.step()
            schedule.step()
            if recent:
                latest = parameters_to_vector(weights).detach()
                average = average.lerp(latest, recent / (steps + recent))
                steps += 1
            total += loss.detach()  # read once an epoch: a GPU waits at every read
        if not math.isfinite(total):
            raise FloatingPointError("the loss diverged; try another --seed.")
        if recent:
            vector_to_parameters(average, weights)
        yield total.item() / len(loader)


def evaluate(model, inputs, sums):
    """Shares of digits right and of sums exactly right, on (B, T, 2) and (B, T)."""
    model.eval()
    with torch.no_grad():
        right = (model(inputs) > 0) == sums.bool()
    return right.float().mean().item(), right.all(1).float().mean().item()


def plot(losses, path, part):
    """Draw the loss of every epoch to a PNG file, with the best one marked."""
    epochs, best = len(losses), losses.index(min(losses))
    figure = Figure(figsize=(4.6, 2.9), layout="constrained")
    axes = figure.subplots()
    axes.semilogy(range(1, epochs + 1), losses, color="#0072b2")
    label = f"best, and saved: epoch {best + 1}, {losses[best]:.1e}"
    axes.plot(best + 1, losses[best], "o", color="#d55e00", markersize=8, label=label)
    axes.legend()
    axes.grid(alpha=0.3)
    first_and_best = f"from {losses[0]:.2g} to {losses[best]:.1e}"
    axes.set(xlabel="epoch", ylabel="mean cross entropy a digit (nats)",
                 title=f"Part {part}: the loss falls {first_and_best}")
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=200)
    write_whole(path, content.getvalue())


def run(part, settings, description):
    """Command line of both training scripts. Returns 0, or 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add("--epochs", type=int, default=100, help="fewer for a quick look")
    add("--seed", type=int, default=0, help="another seed trains another network")
    add("--out", type=Path, default="runs", help="folder for the model and the plot")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="to train on")
    arguments = parser.parse_args()
    if arguments.epochs < 1 or not 0 <= arguments.seed < 2**63:
        parser.error("--epochs must be at least 1, and --seed from 0 to 2^63 - 1.")
    with user_errors(parser):
        device = prepare_device(arguments.device)
        path = arguments.out / f"part{part}.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        keep_earlier(path)
        if Figure is None:
            print(f"no plot: matplotlib does not load ({no_plot})", file=sys.stderr)
        torch.manual_seed(arguments.seed)
        training, held_out = settings()
        print(f"Part {part}, seed {arguments.seed}, on {device}", flush=True)
        losses, interrupted = train_and_save(
            training, held_out, path, arguments, device)
        if losses:
            print(f"wrote {path}, loss {min(losses):.2e}", flush=True)
            try_to_plot(losses, path.with_name(f"part{part}_loss.png"), part)
        return 130 if interrupted else 0


def keep_earlier(path):
    """Copy a checkpoint that training will overwrite, to a name from its hash."""
    if path.exists():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        copy = shutil.copy2(path, path.with_name(f"{path.stem}-{digest[:8]}.pt"))
        print(f"the {path} of before is kept as {copy}")


def train_and_save(training, held_out, path, arguments, device):
    """Train until done or Ctrl-C, save the best model, and print a line an epoch."""
    model, epochs = training["model"].to(device), arguments.epochs
    batch = next(iter(DataLoader(held_out, len(held_out))))
    examples = [digits.to(device) for digits in batch]
    losses, start = [], time.perf_counter()
    try:
        for loss in train(**training, epochs=epochs):
            best = loss < min(losses, default=math.inf)
            losses.append(loss)
            if best:  # in Part 2 an average, so not the very weights of this loss
                save(model, path, len(losses), loss, arguments.seed)
            digits, exact = evaluate(model, *examples)
            left = (time.perf_counter() - start) * (epochs / len(losses) - 1)
            print(f"epoch {len(losses):3}/{epochs}  loss {loss:.2e}"
                  f"  digits {100 * digits:6.2f} %  sums {100 * exact:6.2f} %"
                  f"  {left:.0f} s to go{'  saved' * best}", flush=True)
    except KeyboardInterrupt:
        kept = "the best model so far is kept" if losses else "nothing was saved"
        print(f"interrupted; {kept}", file=sys.stderr)
        return losses, True
    return losses, False


def try_to_plot(losses, path, part):
    """Draw the plot, or say why not: the model is saved, and worth more."""
    try:
        if Figure:
            plot(losses, path, part)
            print(f"wrote {path}")
    except (Exception, KeyboardInterrupt) as error:  # a broken style raises anything
        print(f"no plot: {path} was not written ({error})", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(run(1, part1, __doc__.splitlines()[0]))
