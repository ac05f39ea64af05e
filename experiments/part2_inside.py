"""What the shipped Part 2 network has in mind: its hidden state over one sum, and which digits can be read off it.

    python experiments/part2_inside.py       seconds

Writes part2_inside.csv, how often each digit of the running sum is read off right by a linear map of the hidden
state at each step, and part2_inside.png.
"""

import torch
from common import HERE, new_figure, save_figure
from dataset import BinaryAddition
from models import load

A, B = 0b0101101111111111, 0b0000010000000001  # 23551 + 1025: the last pair's carry runs through nine columns
STEPS = 17


def hidden_states(model, inputs):
    with torch.no_grad():
        return model.rnn(torch.cat((inputs, torch.zeros_like(inputs)), dim=1))[0]  # (B, 34, H)


def readable(model, count=20_000):
    """The share of digits read off right, (34 steps, 17 places): place p of the sum of what was read by then, until
    the answer begins; then the p-th digit yet to be written. Fitted by least squares on half, counted on the rest."""
    torch.manual_seed(0)
    inputs, sums = BinaryAddition(order="highest", length=STEPS, full=1.0, skewed=0.0).__getitems__(range(count))
    states = hidden_states(model, inputs)
    digits = (inputs.sum(2).long() << torch.arange(STEPS - 1, -1, -1)).cumsum(1)  # sum of what was read, in full places
    shares = torch.full((2 * STEPS, STEPS), float("nan"))
    for step in range(2 * STEPS):
        if step < STEPS:
            running = digits[:, step] >> (STEPS - 1 - step)
            targets = torch.stack([running >> place & 1 for place in range(STEPS)], 1)
            known = [place for place in range(STEPS) if place <= step]
        else:
            targets = sums.flip(1).long()
            known = [place for place in range(STEPS) if place <= 2 * STEPS - 1 - step]  # the others are written
        features = torch.cat((states[:, step], torch.ones(count, 1)), 1)
        half = count // 2
        weights = torch.linalg.lstsq(features[:half].double(), targets[:half].double() - 0.5, driver="gelsd").solution
        right = ((features[half:].double() @ weights > 0) == targets[half:].bool()).double().mean(0)
        for place in known:
            shares[step, place] = right[place]
    return shares


if __name__ == "__main__":
    model, _ = load(HERE.parent / "pretrained" / "part2.pt", 2)
    place = torch.arange(STEPS - 1, -1, -1)
    inputs = torch.stack((torch.tensor(A) >> place & 1, torch.tensor(B) >> place & 1), 1)[None].float()
    states = hidden_states(model, inputs)[0]
    shares = readable(model)
    with open(HERE / "part2_inside.csv", "w") as file:
        file.write("step," + ",".join(f"place_{place}" for place in range(STEPS)) + "\n")
        for step, row in enumerate(shares.tolist(), 1):
            file.write(f"{step}," + ",".join("" if share != share else f"{share:.4f}" for share in row) + "\n")

    figure, (left, right) = new_figure(1, 2, size=(13, 7))
    scale = states.amax(0, keepdim=True).clamp(min=1e-6)
    left.imshow((states / scale).T, cmap="Greys", aspect="auto", interpolation="nearest", extent=(0.5, 34.5, 99.5, -0.5))
    for ring in range(6):
        left.axhline(17 * ring - 0.5, color="#d55e00", linewidth=0.7)
    left.axvline(STEPS + 0.5, color="#0072b2")
    columns = "".join(str(int(n)) for n in inputs.sum(2)[0])
    left.set_xticks(range(1, 35), [*columns, *f"{A + B:017b}"], fontsize=8)
    left.set(xlabel="column sum that it reads, then (right of the blue line) digit that it writes", ylabel="hidden unit (rings of 17 between the lines)")
    left.set_title("One sum: stripes are digits that move around the rings")
    image = right.imshow(100 * shares.T, cmap="viridis", aspect="auto", origin="lower", extent=(0.5, 34.5, -0.5, 16.5), vmin=90, vmax=100)
    right.axvline(STEPS + 0.5, color="#0072b2")
    right.set(xlabel="step (reading to 17, then writing)", ylabel="digit of the sum so far (place, 0 is the lowest)")
    right.set_title("What a linear map reads off: the lowest digits settle only while it writes the highest")
    figure.colorbar(image, label="digits read off right (%)")
    save_figure(figure, "part2_inside.png")
