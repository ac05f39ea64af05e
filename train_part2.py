"""Train Part 2: a recurrent network with a hundred ReLU units that reads two 16-digit numbers, then writes their sum.

    python train_part2.py                 some two minutes on two cores; writes runs/part2.pt and runs/part2_loss.png
    python deploy.py --part 2 180 23      add with it
    python certify.py --part 2            try it on all 2³² pairs

The training procedure is Part 1's; only the settings differ.
"""

from cli import finish
from train_part1 import BATCH, ITERATIONS, run


def part2():
    """Part 2's settings: the network, the training data, the held-out data, and Adam's highest learning rate and weight decay.

    What is hard is a column sum that ends a long run of ones, and all that comes near to it. In random digits that is rare, and
    most of it is in long numbers: so column sums are skewed, half of the samples have a run, and nine tenths all 16 digits.
    What each of these gives, and the noise, the weight decay and the averaging: experiments/part2_margins.py.
    """
    from dataset import BinaryAddition
    from models import DelayedAdder

    data = BinaryAddition(size=ITERATIONS * BATCH, order="highest", length=17, full=0.9, skewed=1.0, runs=0.5)
    held_out = BinaryAddition(size=1024, order="highest", length=17, full=1.0, skewed=0.0)
    return DelayedAdder(hidden=100), data, held_out, {"lr": 5e-3, "weight_decay": 0.03}


if __name__ == "__main__":
    finish(lambda: run(2, part2, __doc__.splitlines()[0]))
