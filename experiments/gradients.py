"""Vanishing and exploding gradients: how much the last state depends on the input at each step before it.

    python experiments/gradients.py       seconds

Networks of 100 tanh or ReLU units with orthogonal recurrent matrices, scaled to several spectral radii (the median of
ten; dotted, what a linear network would do: radius to the power of the steps); and the two shipped networks. Writes gradients.csv and gradients.png.
"""

import torch
from common import BLUE, GREEN, GREY, HERE, ORANGE, PINK, new_figure, save_figure
from models import load
from torch import nn

STEPS, HIDDEN, SEEDS = 100, 100, 10
RADII = {0.5: BLUE, 0.9: GREEN, 1.0: GREY, 1.1: PINK, 1.5: ORANGE}


def norms(rnn, steps=STEPS, batch=8):
    """The norm of d(sum of the last state)/dx, averaged over the batch, for x from 0 to steps - 1 steps before."""
    inputs = torch.randint(2, (batch, steps, 2)).float().requires_grad_()
    states, _ = rnn(inputs)
    states[:, -1].sum().backward()
    return inputs.grad.norm(dim=2).mean(0).flip(0)


def random_network(radius, nonlinearity):
    rnn = nn.RNN(2, HIDDEN, nonlinearity=nonlinearity, batch_first=True)
    with torch.no_grad():
        rnn.weight_hh_l0.copy_(radius * nn.init.orthogonal_(torch.empty(HIDDEN, HIDDEN)))
    return rnn


if __name__ == "__main__":
    torch.manual_seed(0)
    figure, panels = new_figure(1, 3, size=(13, 4.5))
    with open(HERE / "gradients.csv", "w") as file:
        file.write("network,radius,steps_before,gradient_norm\n")

        def add(axes, name, radius, values, color):
            axes.semilogy(range(len(values)), values.clamp(min=1e-30), color=color, label=radius if radius else name)
            for step in range(0, len(values), 10):
                file.write(f"{name},{radius},{step},{values[step]:.3e}\n")

        for nonlinearity, axes in zip(("tanh", "relu"), panels):
            for radius, color in RADII.items():
                curves = torch.stack([norms(random_network(radius, nonlinearity)) for _ in range(SEEDS)])
                add(axes, nonlinearity, radius, curves.median(0).values, color)
                axes.semilogy([0, STEPS], [1, radius**STEPS], color=color, linestyle=":", linewidth=1)
            finding = {"tanh": "saturation takes a part of every step", "relu": "what is off takes half, so that even 1.1 vanishes"}
            axes.set_title(f"{nonlinearity}: {finding[nonlinearity]}", fontsize=11)
            axes.legend(title="spectral radius\n(dotted: linear)", fontsize=8)
        for part, color in ((1, BLUE), (2, ORANGE)):
            model, _ = load(HERE.parent / "pretrained" / f"part{part}.pt", part)
            add(panels[2], f"Part {part} (trained)", "", norms(model.rnn, STEPS if part == 1 else 17), color)
        panels[2].set_title("our networks: Part 1 forgets, Part 2 keeps", fontsize=11)
        panels[2].legend(fontsize=8)
    for axes in panels:
        axes.set(xlabel="steps back in time", ylabel="norm of the gradient of the last state", ylim=(1e-20, 1e20))
        axes.grid(alpha=0.3)
    panels[2].set(xlim=(-1, 30), ylim=(1e-10, 1e4))
    save_figure(figure, "gradients.png")
