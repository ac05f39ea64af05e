"""What does the shipped Part 2 network have in mind while it reads and writes?

    python experiments/part2_inside.py       seconds

A linear map, fitted at each step, reads digits off the hidden state: those of the sum
of what was read so far, then those not yet written. Writes results/part2_inside.csv,
the shares read off right, and part2_inside.png, with the states over one sum.
"""

from common import BLUE, ORANGE, ROOT, new_figure, parse, save_figure, write_rows

import torch
from torch.utils.data import DataLoader

from dataset import BinaryAddition, to_digits
from models import load, prepare_device

A, B = 23551, 1025  # the carry of the last pair of digits runs through nine columns
T, SAMPLES = 17, 20_000  # digits of a sum; sums, of which half fit the map


def hidden_states(model, inputs):
    """States (B, 2 T, H) while the network reads inputs (B, T, 2), then writes."""
    inputs = torch.cat((inputs, torch.zeros_like(inputs)), dim=1).double()
    with torch.no_grad():
        return model.rnn(inputs)[0]


def digits_to_read(inputs, sums):
    """Digits (B, places), lowest first, that the state of each step should hold."""
    places = torch.arange(T)
    totals = (inputs.sum(2).long() << places.flip(0)).cumsum(1)
    for t in range(T):
        yield totals[:, t, None] >> places[T - 1 - t :] & 1
    for t in range(T):
        yield sums.flip(1)[:, : T - t]


def readable(states, digits):
    """Share of each digit that a linear map of the states (B, H) reads off right."""
    half = len(states) // 2
    features = torch.cat((states, torch.ones(len(states), 1)), dim=1)
    signs = 2.0 * digits.double() - 1
    fit = torch.linalg.lstsq(features[:half], signs[:half], driver="gelsd")
    guesses = features[half:] @ fit.solution
    return (guesses.sign() == signs[half:]).double().mean(0).tolist()


def draw(states, shares):
    figure, (left, right) = new_figure(1, 2, height=2.4, share=0.66)
    states = states / states.amax(0).clamp(min=1e-6)
    box = {"aspect": "auto", "interpolation": "nearest"}
    left.imshow(states.T, cmap="Greys", extent=(0.5, 34.5, 99.5, -0.5), **box)
    for ring in range(6):
        left.axhline(T * ring - 0.5, color=ORANGE, linewidth=0.7)
    left.set_title("Digits move around\nthe rings as stripes")
    left.set_ylabel("unit (lines part the rings)")
    grid = [100 * torch.tensor(row + [torch.nan] * (T - len(row))) for row in shares]
    box |= {"origin": "lower", "extent": (0.5, 34.5, -0.5, 16.5), "vmin": 90}
    image = right.imshow(torch.stack(grid, dim=1), vmax=100, **box)
    right.set_title("Read off linearly, digits\n1 to 5 settle last")
    right.set(ylabel="place in the sum (0: lowest)", yticks=(0, 4, 8, 12, 16))
    figure.colorbar(image, label="read off right (%)")
    for axes in (left, right):
        axes.axvline(T + 0.5, color=BLUE)
        axes.set(xticks=(1, 9, 17, 26, 34), xlabel="step (reads, then writes)")
        axes.grid(False)
    save_figure(figure, "part2_inside.png")


if __name__ == "__main__":
    parse(__doc__, jobs=0)
    prepare_device("cpu")
    torch.manual_seed(0)
    model, _ = load(ROOT / "pretrained" / "part2.pt", part=2)
    data = BinaryAddition(SAMPLES, min_digits=16, order=model.order)
    inputs, sums = next(iter(DataLoader(data, SAMPLES)))
    states = hidden_states(model, inputs).unbind(1)
    shares = list(map(readable, states, digits_to_read(inputs, sums)))
    rows = [{"step": step} for step in range(1, 2 * T + 1)]
    for row, some in zip(rows, shares):
        row |= {f"place_{n}": f"{share:.4f}" for n, share in enumerate(some)}
    write_rows("part2_inside.csv", rows)
    pair = torch.tensor([to_digits(n, T, model.order) for n in (A, B)]).T[None]
    draw(hidden_states(model, pair)[0], shares)
