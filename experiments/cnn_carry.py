"""Where does a CNN lose a carry, and does Part 1's network?

    python experiments/cnn_carry.py       about two minutes

A causal CNN that sees 13 digits of each number is trained on Part 1's sums. Then both
networks add numbers in which a carry, if there is one, runs through many columns. If
its start is out of sight, the digit behind them can only be guessed. Writes
results/cnn_carry.csv and cnn_carry.png.
"""

from common import BLUE, ORANGE, ROOT, draw_range, new_figure, parse, save_figure
from common import write_rows

import torch
from torch import nn

from models import load, prepare_device
from train_part1 import part1, train

LAYERS, KERNEL, CHANNELS = 4, 4, 32
FIELD = LAYERS * (KERNEL - 1) + 1
LENGTHS = range(1, 31)


class CausalCNN(nn.Sequential):
    """Logits (B, T) from inputs (B, T, 2); each depends on the last FIELD digits."""

    def __init__(self):
        sizes = [2] + LAYERS * [CHANNELS]
        convolutions = map(nn.Conv1d, sizes, sizes[1:], LAYERS * [KERNEL])
        layers = [layer for one in convolutions for layer in (one, nn.ReLU())]
        super().__init__(*layers, nn.Conv1d(CHANNELS, 1, 1))

    def forward(self, inputs):
        signal = nn.functional.pad(inputs.transpose(1, 2), (FIELD - 1, 0))
        return super().forward(signal).squeeze(1)


def train_cnn(seed):
    torch.manual_seed(seed)
    cnn, data = CausalCNN(), part1()[0]["data"]
    losses = list(train(cnn, data, 5e-3, clip=1.0, epochs=20))
    print(f"CNN {seed}: loss {losses[-1]:.1e}", flush=True)
    return cnn


def percent_right(model, length, count=500):
    """Share of random sums whose highest digit is right; a carry alone decides it.

    In half of the sums a column 1 + 1 starts it, in the others 0 + 0 does not; all else
    is the same. Then come `length` columns 0 + 1 or 1 + 0, and the last one, 0 + 0.
    """
    torch.manual_seed(length)
    pairs = torch.randint(2, (count, 22 + length, 2))
    pairs[:, 21:-1, 1] = 1 - pairs[:, 21:-1, 0]
    pairs[:, -1] = 0
    carry = torch.arange(2 * count) < count
    pairs = pairs.repeat(2, 1, 1)
    pairs[:, 20] = carry[:, None].long()
    with torch.no_grad():
        right = (model(pairs.float())[:, -1] > 0) == carry
    return f"{100 * right.double().mean():.1f}"


def draw(rows):
    figure, axes = new_figure(height=2.2, share=0.5)
    _, rnn, *cnns = ([float(row[name]) for row in rows] for name in rows[0])
    axes.plot(LENGTHS, rnn, color=BLUE, label="RNN of 10 units (Part 1)")
    label = f"CNN that sees {FIELD} digits, {len(cnns)} seeds"
    draw_range(axes, LENGTHS, cnns, color=ORANGE, label=label)
    label = "beyond: it starts outside"
    axes.axvline(FIELD - 1, color="black", linestyle=":", label=label)
    axes.set(xlabel="columns that the carry runs through", ylim=(0, 105))
    axes.set_ylabel("digit behind them right (%)")
    axes.set_title("Outside of its field, a CNN can only guess")
    axes.legend(loc="lower right")
    save_figure(figure, "cnn_carry.png")


if __name__ == "__main__":
    parse(__doc__, jobs=0)
    prepare_device("cpu")
    models = {"RNN": load(ROOT / "pretrained" / "part1.pt", part=1)[0]}
    models |= {f"CNN {seed}": train_cnn(seed) for seed in range(10)}
    rows = [{"columns": length} for length in LENGTHS]
    for row in rows:
        row |= {name: percent_right(models[name], row["columns"]) for name in models}
    write_rows("cnn_carry.csv", rows)
    draw(rows)
