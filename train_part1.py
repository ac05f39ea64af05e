"""Train Part 1: a recurrent network with ten ReLU units that adds two binary numbers of any length.

    python train_part1.py                 half a minute on two cores; writes runs/part1.pt and runs/part1_loss.png
    python deploy.py 180 23               add with it
    python certify.py                     prove it

The training procedure, `train`, and the command line around it, `run`, serve Part 2 as well.
"""

import argparse
import errno
import math
import re
import signal
import sys
import tempfile
import time
from pathlib import Path

from cli import OneSentenceParser, fail, finish, needs, print_any_name

ITERATIONS, BATCH = 100, 128  # mini-batches an epoch, and pairs of numbers in each: the assignment's
RECENT = 10  # what is saved is the average of the weights over about the last tenth of the steps; 1 is over all, 10**9 over none
PROBE = 200_000  # bytes, more than the model and the plot take: so much must fit on the disk before the training starts


def part1():
    """Part 1's settings: the network, the training data, the held-out data, and Adam's highest learning rate and weight decay."""
    from dataset import BinaryAddition
    from models import SynchronousAdder

    data = BinaryAddition(size=ITERATIONS * BATCH)
    held_out = BinaryAddition(size=1024, max_digits=32, full=1.0)  # twice as long as in training
    return SynchronousAdder(hidden=10), data, held_out, {"lr": 3e-2, "weight_decay": 0.0}


def train(model, data, held_out, adam, path, epochs=100, seed=0, device="cpu", stopped=lambda: False):
    """Train, print a line an epoch, and save the model to `path` whenever an epoch's average loss is the best yet.

    What is saved, and evaluated, is an average of the weights over the latest steps: it is right on rare sums that those of
    a single step are wrong on (polynomial-decay averaging: Shamir & Zhang 2013, 1212.1824).
    `adam` has the options of torch.optim.AdamW. `seed` is only noted in the checkpoint. `stopped` is asked before every step;
    once it says True, the epoch is given up. Returns the average loss of each whole epoch. Raises FloatingPointError when the
    loss is not finite.
    """
    import torch
    from models import save
    from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy
    from torch.nn.utils import parameters_to_vector, vector_to_parameters

    weights = list(model.to(device).parameters())
    average = parameters_to_vector(weights).detach()
    loader = torch.utils.data.DataLoader(data, batch_size=BATCH, collate_fn=data.collate)
    examples = [digits.to(device) for digits in held_out.__getitems__(range(len(held_out)))]
    optimizer = torch.optim.AdamW(weights, **adam, fused=True)  # one call for all weights
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, adam["lr"], total_steps=epochs * len(loader))
    losses, step, start = [], 0, time.perf_counter()

    for epoch in range(1, epochs + 1):
        model.train()
        epoch_start, total = time.perf_counter(), torch.zeros((), device=device)
        for inputs, sums in loader:
            if stopped():
                return losses
            loss = cross_entropy(model(inputs.to(device)), sums.to(device))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)  # the gradient of a ReLU RNN can explode
            optimizer.step()
            schedule.step()
            step += 1
            average.lerp_(parameters_to_vector(weights).detach(), RECENT / (step + RECENT - 1))
            total += loss.detach()  # read once an epoch: reading makes a GPU wait
        loss_of_epoch = total.item() / len(loader)
        if not math.isfinite(loss_of_epoch):
            raise FloatingPointError(f"the loss of epoch {epoch} is {loss_of_epoch}; the best model so far is kept. Try another --seed.")
        losses.append(loss_of_epoch)
        best = loss_of_epoch == min(losses)
        own = parameters_to_vector(weights).detach()
        vector_to_parameters(average, weights)
        if best:
            save(model, path, epoch, loss_of_epoch, seed)
        digits, exact = evaluate(model, *examples)
        vector_to_parameters(own, weights)
        now = time.perf_counter()
        left = (now - start) / epoch * (epochs - epoch)
        print(
            f"epoch {epoch:3}/{epochs}  loss {loss_of_epoch:.2e}  digits {100 * digits:6.2f} %  sums {100 * exact:6.2f} %"
            f"  {now - epoch_start:.2f} s  {left:.0f} s to go{'  saved' if best else ''}",
            flush=True,
        )
    return losses


def evaluate(model, inputs, sums):
    """The shares of digits right and of sums exactly right, for inputs (B, T, 2) and their sums (B, T)."""
    import torch

    model.eval()
    with torch.no_grad():
        right = (model(inputs) > 0) == sums.bool()
    return right.float().mean().item(), right.all(1).float().mean().item()


def plot(losses, path, part):
    """Draw the loss of every epoch, with the best one marked, to a PNG file."""
    from matplotlib.figure import Figure  # draws to files without a screen, and comes sooner than pyplot
    from models import write_whole

    best = losses.index(min(losses))
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.semilogy(range(1, len(losses) + 1), losses, color="#0072b2")
    label = f"best, and saved: epoch {best + 1}, {losses[best]:.1e}"
    axes.plot(best + 1, losses[best], "o", color="#d55e00", markersize=8, label=label)
    axes.legend()
    axes.set(xlabel="epoch (100 mini-batches of 128 sums)", ylabel="average binary cross entropy a digit (nats)")
    axes.set_title(f"Part {part}: {len(losses)} epochs take the loss from {losses[0]:.2g} to {losses[best]:.1e}")
    axes.grid(alpha=0.3)
    write_whole(path, lambda file: figure.savefig(file, format="png", dpi=120))


def run(part, settings, description):
    """The command line of both training scripts. Returns the exit status: 0, 2 when it fails, 130 after Ctrl-C."""
    arguments = parse(description)
    interrupts = []  # a list instead of an exception: Ctrl-C tears no file and no plot, however often it is pressed
    signal.signal(signal.SIGINT, lambda *_: interrupts.append("Ctrl-C"))
    print_any_name()
    checkpoint, picture = arguments.out / f"part{part}.pt", arguments.out / f"part{part}_loss.png"
    try:
        make_folder(arguments.out, checkpoint, picture)
        import torch
        from models import choose_device

        device = choose_device(arguments.device)
        torch.manual_seed(arguments.seed)
        model, data, held_out, adam = settings()
        print(f"Part {part}, seed {arguments.seed}, on {device}; the best model goes to {checkpoint}", flush=True)
        losses = train(
            model, data, held_out, adam, checkpoint, arguments.epochs, arguments.seed, device, lambda: interrupts
        )
        if losses:
            plot(losses, picture, part)
            print(f"wrote {checkpoint}, loss {min(losses):.2e}, and {picture}", flush=True)
    except ModuleNotFoundError as error:
        return fail(needs(error))
    except (FloatingPointError, RuntimeError, ValueError) as error:
        return fail(str(error))
    if interrupts:
        print("Interrupted; what was written is whole." if losses else "Interrupted; nothing was written.", file=sys.stderr)
        return 130
    return 0


def parse(description):
    """Check the arguments. This comes before torch is imported, which takes seconds."""

    def whole_number(low, high):
        def convert(text):
            if not re.fullmatch(r"[0-9]{1,19}", text) or not low <= int(text) <= high:
                raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number from {low} to {high}.")
            return int(text)

        return convert

    parser = OneSentenceParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--epochs", type=whole_number(1, 100_000), default=100, help="fewer for a quick look, more for a lower loss")
    parser.add_argument("--seed", type=whole_number(0, 2**63 - 1), default=0, help="another seed gives another network")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder for the model and the loss plot; made if missing")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto takes cuda when present, else the CPU")
    return parser.parse_args()


def make_folder(folder, *files):
    """Make the folder, and find out before the training whether files fit into it. Raises OSError, which names it, if not."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        if file.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder", str(file))
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(PROBE))
    except OSError as error:
        error.filename = str(folder)
        raise


if __name__ == "__main__":
    finish(lambda: run(1, part1, __doc__.splitlines()[0]))
