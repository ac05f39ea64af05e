"""Vanishing and exploding gradients, and a memory that is kept without any.

    python experiments/gradients.py       seconds

Random networks of 100 units have orthogonal recurrent matrices, times a spectral
radius; dotted lines are what a linear network does. Curves are norms of the gradient of
the last state's sum, by how far back the input is. The shipped Part 1 reads a column
that sets the carry, or clears it, then columns 0 + 1, which keep it. Writes
results/gradients.csv and gradients.png.
"""

from common import BLUE, GREEN, GREY, ORANGE, PINK, ROOT, draw_range, new_figure
from common import parse, save_figure, write_rows

import torch
from torch import nn

from models import load, prepare_device

RADII = (0.5, 0.9, 1.0, 1.1, 1.5)
LINES = (
    [{"color": color} for color in (BLUE, ORANGE, GREEN, PINK, GREY)],
    [{"color": "black"}, {"color": "black", "linestyle": "--"}],  # Parts 1 and 2
)
TITLES = {
    "tanh": "tanh: saturated units\npass little on",
    "relu": "ReLU: half of the units\nare off, pass nothing on",
    "trained": "trained: the gradient\nof Part 1 vanishes",
}
STEPS = 101  # columns that Part 1 reads


def random_network(nonlinearity, radius):
    rnn = nn.RNN(2, 100, nonlinearity=nonlinearity, batch_first=True).double()
    with torch.no_grad():
        nn.init.orthogonal_(rnn.weight_hh_l0).mul_(radius)
    return rnn


def shipped(part):
    model, _ = load(ROOT / "pretrained" / f"part{part}.pt", part)
    return model.double()


def norms(rnn, steps):
    """Norm of the gradient of the last state's sum, 0 to steps - 1 steps back."""
    inputs = torch.randint(2, (8, steps, 2)).double().requires_grad_()
    states, _ = rnn(inputs)
    states[:, -1].sum().backward()
    return inputs.grad.norm(dim=2).mean(0).flip(0).tolist()


def latch(model, first):
    """Part 1 on a column `first` + `first`, then 0 + 1: gradients, and logits.

    Gradients are norms by steps back, of a state's sum with respect to that first
    column. Both start where the second column is read.
    """
    inputs = torch.tensor([[[first, first]] + (STEPS - 1) * [[0, 1]]]).double()
    states, _ = model.rnn(inputs.requires_grad_())
    sums = states[0].sum(1)
    back = [torch.autograd.grad(one, inputs, retain_graph=True)[0] for one in sums[1:]]
    logits = model.output(states)[0, 1:, 0].tolist()
    return [gradient[0, 0].norm().item() for gradient in back], logits


def draw(curves, kept):
    figure, panels = new_figure(1, 4, height=2.2)
    for axes, kind in zip(panels, TITLES):
        for (name, some), line in zip(curves[kind].items(), LINES[kind == "trained"]):
            draw_range(axes, range(len(some[0])), some, label=name, **line)
            if kind != "trained":
                axes.plot([0, 60], [1, name**60], ":", linewidth=1, **line)
        axes.set(yscale="log", ylim=(1e-15, 1e12))
        axes.set_title(TITLES[kind], fontsize=8)
        axes.set_xlabel("steps back in time")
    panels[0].set_ylabel("norm of the gradient")
    panels[2].set(ylim=(1e-15, 1e5), xticks=(0, 50, 99))
    panels[2].legend(loc="lower left")
    lines, names = panels[0].get_legend_handles_labels()
    names = [f"radius {name}" for name in names]
    figure.legend(lines, names, loc="outside lower center", ncols=len(RADII))
    steps = range(1, STEPS)
    for (name, logits), color in zip(kept.items(), (ORANGE, BLUE)):
        panels[3].plot(steps, logits, color=color, label=name)
    panels[3].axhline(0, color="black", linewidth=1)
    panels[3].set_title("Part 1 keeps its carry:\nall digits are right", fontsize=8)
    panels[3].set(xlabel="columns 0 + 1 read", xticks=(1, 50, 100))
    panels[3].set_ylabel("logit (above 0: writes 1)")
    panels[3].legend(loc="center", title="after")
    save_figure(figure, "gradients.png")


if __name__ == "__main__":
    parse(__doc__, jobs=0)
    prepare_device("cpu")
    torch.manual_seed(0)
    curves = {"tanh": {}, "relu": {}}
    for kind, mine in curves.items():
        for radius in RADII:
            mine[radius] = [norms(random_network(kind, radius), 60) for _ in range(10)]
    part1, part2 = shipped(1), shipped(2)
    vanishing, after_11 = latch(part1, 1)
    _, after_00 = latch(part1, 0)
    curves["trained"] = {"Part 1": [vanishing], "Part 2": [norms(part2.rnn, 17)]}
    kept = {"1 + 1": after_11, "0 + 0": after_00}
    rows = [
        {"network": f"{kind} {name}"} | {f"back_{n}": f"{v:.2e}" for n, v in values}
        for kind, mine in curves.items()
        for name, some in mine.items()
        for values in map(enumerate, some)
    ]
    for name, logits in kept.items():
        row = {"network": f"logits of Part 1 after {name}"}
        rows.append(row | {f"back_{n}": f"{v:.2f}" for n, v in enumerate(logits)})
    write_rows("gradients.csv", rows)
    draw(curves, kept)
