"""Train Part 2: a recurrent network of a hundred ReLU units that reads, then adds.

    python train_part2.py                  writes runs/part2.pt and runs/part2_loss.png
    python deploy.py --part 2 180 23       adds with it

The training loop is Part 1's; only the settings differ.
"""

from dataset import BinaryAddition
from models import DIGITS, DelayedAdder
from train_part1 import BATCH, run


def part2(
    network=DelayedAdder,
    hidden=100,
    noise=0.05,  # no noise: 9 of 10
    min_digits=DIGITS,  # numbers of all lengths: 0 of 10
    runs=0.5,  # no runs: 0 of 10
    lr=5e-3,
    weight_decay=0.03,  # no weight decay: 7 of 10
    clip=1.0,  # no clipping: 1 of 10
    recent=10,  # no averaging: 16 of 20
):
    """Part 2's settings: the arguments of `train`, and the held-out data.

    What is hard is a late carry that changes many digits. It is rare in fair digits,
    hence the runs. Beside a setting: how many seeds had no wrong sum when it was
    changed; as it is, 73 of 80 (experiments/part2_ablation.py).
    """
    model = network(hidden, noise)
    digits = {"max_digits": DIGITS, "length": DIGITS + 1, "order": model.order}
    data = BinaryAddition(100 * BATCH, min_digits, runs=runs, **digits)
    held_out = BinaryAddition(1024, DIGITS, **digits)
    return dict(model=model, data=data, lr=lr, weight_decay=weight_decay, clip=clip,
                recent=recent), held_out


if __name__ == "__main__":
    run(2, part2, __doc__)
