"""Back-propagation through time of an LSTM cell, as the report derives it.

    python experiments/lstm_bptt.py       prints how far autograd is from it

The cell has no biases. Names are the report's: W["ix"] is W_ix, h_ and c_ are those of
the step before, and δs is dL/ds. Shapes: x (T, D), W["·x"] (H, D), W["·h"] (H, H).
"""

from common import parse

import torch

GATES = "fiog"


def forward(x, W):
    """Values of every step that the way back needs, as dicts."""
    h = c = x.new_zeros(len(W["fx"]))
    steps = []
    for x_t in x:
        step = {"x": x_t, "h_": h, "c_": c}
        f, i, o = (torch.sigmoid(W[s + "x"] @ x_t + W[s + "h"] @ h) for s in "fio")
        g = torch.tanh(W["gx"] @ x_t + W["gh"] @ h)
        c = f * c + i * g
        h = o * torch.tanh(c)
        steps.append(step | {"f": f, "i": i, "o": o, "g": g, "c": c, "h": h})
    return steps


def backward(steps, δh_direct, W):
    """Gradients of all eight weights, from δh_direct (T, H), the loss's own share."""
    δW = {name: torch.zeros_like(weight) for name, weight in W.items()}
    zero = torch.zeros_like(δh_direct[0])
    δa, δc_from_after = dict.fromkeys(GATES, zero), zero  # of the step after
    for step, direct in zip(reversed(steps), δh_direct.flip(0)):
        f, i, o, g, tanh_c = *(step[s] for s in GATES), torch.tanh(step["c"])
        δh = direct + sum(W[s + "h"].T @ δa[s] for s in GATES)
        δc = δh * o * (1 - tanh_c**2) + δc_from_after
        δa = {
            "f": δc * step["c_"] * f * (1 - f),
            "i": δc * g * i * (1 - i),
            "o": δh * tanh_c * o * (1 - o),
            "g": δc * i * (1 - g**2),
        }
        for s in GATES:
            δW[s + "x"] += torch.outer(δa[s], step["x"])
            δW[s + "h"] += torch.outer(δa[s], step["h_"])
        δc_from_after = δc * f
    return δW


def compare(T=12, D=3, H=5):
    """Largest difference from autograd's gradient for each weight, in float64."""
    generator = torch.Generator().manual_seed(0)
    options = {"generator": generator, "dtype": torch.float64}
    sizes = {"x": D, "h": H}
    W = {s + z: torch.randn(H, sizes[z], **options) for s in GATES for z in sizes}
    x, target = torch.randn(T, D, **options), torch.randn(T, H, **options)
    for weight in W.values():
        weight.requires_grad_()
    steps = forward(x, W)
    h = torch.stack([step["h"] for step in steps])
    ((h - target) ** 2).sum().backward()
    with torch.no_grad():
        ours = backward(steps, 2 * (h - target), W)
    return {name: (ours[name] - W[name].grad).abs().max().item() for name in W}


if __name__ == "__main__":
    parse(__doc__, jobs=0)
    for name, difference in compare().items():
        print(f"W_{name}: {difference:.1e} from autograd's gradient")
