"""Vanishing and exploding gradients of the last state, with respect to each input.

    python experiments/gradients.py       seconds

Random networks of 100 units have orthogonal recurrent matrices, times a spectral
radius; dotted lines are what a linear network does. The last panel has the two shipped
networks. Writes results/gradients.csv and gradients.png.
"""

from common import BLUE, GREEN, GREY, ORANGE, PINK, ROOT, draw_range, new_figure
from common import parse, save_figure, write_rows

import torch
from torch import nn

from models import load, prepare_device

RADII = (0.5, 0.9, 1.0, 1.1, 1.5)
COLORS = (BLUE, ORANGE, GREEN, PINK, GREY)
TITLES = {
    "tanh": "tanh: every step that\nsaturates takes a part",
    "relu": "ReLU: half of the units are\noff, so even 1.1 vanishes",
    "Part": "trained: Part 1 forgets,\nPart 2 keeps",
}


def random_network(nonlinearity, radius):
    rnn = nn.RNN(2, 100, nonlinearity=nonlinearity, batch_first=True).double()
    with torch.no_grad():
        nn.init.orthogonal_(rnn.weight_hh_l0).mul_(radius)
    return rnn


def shipped(part):
    model, _ = load(ROOT / "pretrained" / f"part{part}.pt", part)
    return model.double().rnn


def norms(rnn, steps):
    """Norm of the gradient of the last state's sum, 0 to steps - 1 steps back."""
    inputs = torch.randint(2, (8, steps, 2)).double().requires_grad_()
    states, _ = rnn(inputs)
    states[:, -1].sum().backward()
    return inputs.grad.norm(dim=2).mean(0).flip(0).tolist()


def draw(curves):
    figure, panels = new_figure(1, 3, height=3.0)
    for axes, kind in zip(panels, TITLES):
        for (number, some), color in zip(curves[kind].items(), COLORS):
            draw_range(axes, range(len(some[0])), some, color=color, label=number)
            if kind != "Part":
                axes.plot([0, 60], [1, number**60], ":", color=color, linewidth=1)
        axes.set(yscale="log", ylim=(1e-15, 1e12), title=TITLES[kind])
        axes.set_xlabel("steps back in time")
    panels[0].set_ylabel("norm of the gradient")
    panels[2].legend(title="Part")
    lines = panels[0].get_legend_handles_labels()
    title = "spectral radius (dotted: a linear network)"
    figure.legend(*lines, title=title, loc="outside lower center", ncols=len(RADII))
    save_figure(figure, "gradients.png")


if __name__ == "__main__":
    parse(__doc__, jobs=0)
    prepare_device("cpu")
    torch.manual_seed(0)
    curves = {"tanh": {}, "relu": {}}
    for kind, mine in curves.items():
        for radius in RADII:
            mine[radius] = [norms(random_network(kind, radius), 60) for _ in range(10)]
    curves["Part"] = {part: [norms(shipped(part), 17)] for part in (1, 2)}
    rows = [
        {"network": f"{kind} {number}"} | {f"back_{n}": f"{v:.2e}" for n, v in values}
        for kind, mine in curves.items()
        for number, some in mine.items()
        for values in map(enumerate, some)
    ]
    write_rows("gradients.csv", rows)
    draw(curves)
