"""How many sums are wrong, over many seeds of Part 2? Each runs all 3^16 cases.

    python experiments/part2_seeds.py                     in float32 as it runs
    python experiments/part2_seeds.py --rigorous 3        three of each ten also proven

Seeds 0 to 9 took part in the tuning, 60 to 69 did not. The networks are those of
part2_ablation.py; what is not there is trained. Writes results/part2_seeds.csv, a row a
run; goes on where it was stopped.
"""

from common import NETWORKS, parse, sweep, train_network

from certify import round_down, round_up
from models import fingerprint, load
from proof.part2 import exhaust
from train_part2 import part2


def measure(seed, arithmetic):
    """Row of the table: one network on all cases, in "float32" or "rigorous"ly."""
    path = NETWORKS / f"part2 the recipe {seed}.pt"
    train_network(part2, seed, path=path)
    _, checkpoint = load(path, part=2)
    weights = checkpoint["state_dict"]
    result = exhaust(weights, rigorous=arithmetic == "rigorous", workers=1)
    return {
        "seed": seed,
        "arithmetic": arithmetic,
        "loss": f"{checkpoint['loss']:.2e}",
        "epoch": checkpoint["epoch"],
        "cases": result.cases,
        "unproven": result.unproven,
        "smallest_margin": f"{round_down(result.margin, 4):.4g}",
        "error_bound": f"{round_up(result.bound, 2):.1e}",
        "columns": "".join(map(str, result.worst[0][1])),
        "weights": fingerprint(weights)[:16],
    }


if __name__ == "__main__":
    arguments = parse(__doc__, rigorous=0)
    seeds = [*range(10), *range(60, 70)]
    jobs = [(seed, "float32") for seed in seeds]
    jobs += [(seed, "rigorous") for seed in seeds if seed % 10 < arguments.rigorous]
    sweep("part2_seeds.csv", ["seed", "arithmetic"], measure, jobs, arguments.jobs)
