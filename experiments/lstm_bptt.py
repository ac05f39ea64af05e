"""Back-propagation through time of an LSTM without biases, line by line as the report derives it, against autograd.

    python experiments/lstm_bptt.py       at once; prints the largest difference for each weight

Shapes: x_t (D,), h_t and c_t and the gates (H,), W_·x (H, D), W_·h (H, H). δs stands for dL/ds. The loss depends on
every h_t, directly by δh_direct_t.
"""

import torch

GATES = "fiog"


def forward(x, W):
    """Run the cell on x (T, D). Returns for each step the values that the backward pass needs, and h (T, H)."""
    H = W["fx"].shape[0]
    h, c, steps = x.new_zeros(H), x.new_zeros(H), []
    for x_t in x:
        before = {"h-": h, "c-": c, "x": x_t}
        f, i, o = (torch.sigmoid(W[gate + "x"] @ x_t + W[gate + "h"] @ h) for gate in "fio")
        g = torch.tanh(W["gx"] @ x_t + W["gh"] @ h)
        c = f * c + i * g
        h = o * torch.tanh(c)
        steps.append({**before, "f": f, "i": i, "o": o, "g": g, "c": c, "h": h})
    return steps, torch.stack([step["h"] for step in steps])


def backward(steps, δh_direct, W):
    """The gradients of all eight weights, from the last step to the first."""
    δW = {name: torch.zeros_like(weight) for name, weight in W.items()}
    after = None  # what step t + 1 hands back: its f, δc and the gates' δ before their activations
    for step, direct in zip(reversed(steps), reversed(δh_direct)):
        δh, from_next_cell = direct, 0
        if after:
            δh = δh + sum(W[gate + "h"].T @ after["a" + gate] for gate in GATES)  # h_t feeds all four gates of t + 1
            from_next_cell = after["δc"] * after["f"]  # c_t feeds c_{t+1} = f c_t + i g
        tanh_c = torch.tanh(step["c"])
        δo = δh * tanh_c
        δc = δh * step["o"] * (1 - tanh_c**2) + from_next_cell  # through h_t, and from the step after
        δf, δi, δg = δc * step["c-"], δc * step["g"], δc * step["i"]
        a = {
            "af": δf * step["f"] * (1 - step["f"]),
            "ai": δi * step["i"] * (1 - step["i"]),
            "ao": δo * step["o"] * (1 - step["o"]),
            "ag": δg * (1 - step["g"] ** 2),
        }
        for gate in GATES:
            δW[gate + "x"] += torch.outer(a["a" + gate], step["x"])  # summed over the steps: the weights are shared
            δW[gate + "h"] += torch.outer(a["a" + gate], step["h-"])
        after = {"f": step["f"], "δc": δc, **a}
    return δW


def compare(T=12, D=3, H=5, seed=0):
    """The largest difference between our gradients and autograd's, for each weight, in float64."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(shape, generator=generator, dtype=torch.float64)
    W = {gate + source: draw(H, size).requires_grad_() for gate in GATES for source, size in (("x", D), ("h", H))}
    x, target = draw(T, D), draw(T, H)
    steps, h = forward(x, W)
    ((h - target) ** 2).sum().backward()
    with torch.no_grad():
        ours = backward(steps, 2 * (h - target), W)
        return {name: (ours[name] - W[name].grad).abs().max().item() for name in W}


if __name__ == "__main__":
    for name, difference in compare().items():
        print(f"δW_{name}  differs from autograd by at most {difference:.1e}")
