"""Which ways of training Part 1 end in a proof? The recipe, and changes of it.

    python experiments/part1_ablation.py       goes on where it was stopped

Writes results/part1_ablation.csv, a row a network, and part1_ablation.png. Proven is by
either theorem of Part 1, as certify.py tries them.
"""

import time
from functools import partial

from common import BLUE, NETWORKS, ORANGE, draw_dots, new_figure, parse, save_figure
from common import sweep, train_network

import torch

from deploy import read
from models import fingerprint, load
from proof import find_any_rank
from proof.part1 import lists, prove
from proof.search import adversarial_pairs, exact_digits
from train_part1 import part1

TABLE = "part1_ablation.csv"
PLAIN = {"constrained": False, "noise": 0.0, "counting": False, "lr": 1e-2}
MIXED = [*range(30), *range(50, 100)]  # rate and noise were tuned on seeds 0 to 49
VARIANTS = {  # name: (seeds, changes of the arguments of part1)
    "the recipe": (range(250), {}),
    "not of rank one": (range(100), {"constrained": False}),
    "no noise": (range(50, 100), {"noise": 0.0}),
    "PyTorch's start": ([*MIXED, *range(200, 250)], {"counting": False}),
    "no clipping": (MIXED, {"clip": None}),
    "plainly": (range(10), PLAIN),
}
STREAM = 10_000  # digits of the sums that a network is tested on
LIMIT = 600  # seconds to look for a proof that needs no rank one


def measure(variant, seed):
    """Row of the table: one network trained, proven or not, and tested."""
    path = NETWORKS / f"part1 {variant} {seed}.pt"
    train_network(part1, seed, VARIANTS[variant][1], path=path)
    model, checkpoint = load(path, part=1)
    weights = checkpoint["state_dict"]
    random, adversarial = streams(seed)
    wrong = [wrong_digits(model, pairs) for pairs in (random, adversarial)]
    logit = least_logit(lists(weights), tried=not any(wrong))
    return {
        "variant": variant,
        "seed": seed,
        "loss": f"{checkpoint['loss']:.2e}",
        "epoch": checkpoint["epoch"],
        "proven": "yes" if logit else "no",
        "smallest_logit": f"{logit:.2f}" if logit else "",
        "random_wrong": wrong[0],
        "random_digits": random[..., 0].numel(),
        "adversarial_wrong": wrong[1],
        "adversarial_digits": adversarial[..., 0].numel(),
        "weights": fingerprint(weights)[:16],
    }


def streams(seed):
    """Random and adversarial pairs of digits (B, STREAM, 2) to test a network on."""
    generator = torch.Generator().manual_seed(seed)
    random = torch.randint(2, (100, STREAM, 2), generator=generator)
    return random, adversarial_pairs(STREAM)


def least_logit(weights, tried):
    """The least that a logit lies on its side of zero, for any sum of any length.

    0 if that is not proven; without rank one it is only `tried`.
    """
    verdict = prove(weights)
    if verdict.proven:
        sides = (c.logits[0] if c.digit else -c.logits[1] for c in verdict.cases)
        return float(min(sides))
    if tried:
        verdict, _ = find_any_rank.prove(weights, time.perf_counter() + LIMIT)
    return float(verdict.logit) if verdict.proven else 0.0


def wrong_digits(model, pairs):
    with torch.inference_mode():
        right = (read(model, pairs.float()) > 0) == exact_digits(pairs).bool()
    return int((~right).sum())


def percent_wrong(kind, row):
    return 100 * int(row[f"{kind}_wrong"]) / int(row[f"{kind}_digits"])


def is_proven(row):
    return row["proven"] == "yes"


def draw(rows):
    figure, panels = new_figure(columns=2, height=3.4, sharey=True)
    variants = {row["variant"]: [] for row in rows}
    for row in rows:
        variants[row["variant"]].append(row)
    names = {"random": "random sums", "adversarial": "adversarial streams"}
    for axes, kind, heading in zip(panels, names, ("", "proven")):
        draw_dots(axes, variants, partial(percent_wrong, kind), is_proven, heading)
        axes.set_xscale("symlog", linthresh=1e-5, linscale=0.5)
        axes.set_xlim(-5e-6, 100)
        axes.set_xticks([0, 1e-4, 1e-2, 1, 100], ["0", "$10^{-4}$", "0.01", "1", "100"])
        axes.set(title=names[kind], xlabel="wrong digits (%)")
    for color, label in ((BLUE, "proven"), (ORANGE, "not proven")):
        panels[0].plot([], [], "o", color=color, markersize=4, label=label)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(
        "Part 1: adversarial streams and proofs tell apart what random sums do not"
    )
    save_figure(figure, "part1_ablation.png")


if __name__ == "__main__":
    jobs = [(name, seed) for name in VARIANTS for seed in VARIANTS[name][0]]
    draw(sweep(TABLE, ["variant", "seed"], measure, jobs, parse(__doc__).jobs))
