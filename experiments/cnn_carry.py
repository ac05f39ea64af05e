"""What a CNN's receptive field does to long carries, against Part 1's network.

    python experiments/cnn_carry.py       about a minute

A causal convolutional network (4 layers, kernel 4, 32 channels: it sees 13 digits) is trained like Part 1. Then both
add numbers in which a carry runs through L columns and has to change the digit behind them. Writes cnn_carry.csv
and cnn_carry.png.
"""

import torch
from common import BLUE, HERE, ORANGE, new_figure, save_figure
from models import load
from torch import nn

import train_part1

LAYERS, KERNEL, CHANNELS, LENGTHS = 4, 4, 32, range(1, 41)
FIELD = LAYERS * (KERNEL - 1) + 1


class CausalCNN(nn.Module):
    """Inputs (B, T, 2) to logits (B, T); the logit of digit t depends on digits t - 12 to t."""

    def __init__(self):
        super().__init__()
        channels = [2] + [CHANNELS] * LAYERS
        self.layers = nn.ModuleList(nn.Conv1d(a, b, KERNEL) for a, b in zip(channels, channels[1:]))
        self.output = nn.Linear(CHANNELS, 1)

    def forward(self, inputs):
        signal = inputs.transpose(1, 2)
        for layer in self.layers:
            signal = torch.relu(layer(nn.functional.pad(signal, (KERNEL - 1, 0))))
        return self.output(signal.transpose(1, 2)).squeeze(2)


def carry_sums(length, count=500):
    """Random sums in which a carry starts at place 20, runs through `length` columns, and a column of zeros waits behind."""
    pairs = torch.randint(2, (count, 22 + length, 2))
    pairs[:, 20] = 1
    ones = torch.randint(2, (count, length))
    pairs[:, 21 : 21 + length] = torch.stack((ones, 1 - ones), 2)
    pairs[:, 21 + length] = 0
    return pairs


def train(cnn, epochs=20):
    data = train_part1.part1()[1]
    optimizer = torch.optim.Adam(cnn.parameters(), lr=3e-3)
    loader = torch.utils.data.DataLoader(data, batch_size=train_part1.BATCH, collate_fn=data.collate)
    for _ in range(epochs):
        for inputs, sums in loader:
            loss = nn.functional.binary_cross_entropy_with_logits(cnn(inputs), sums)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return loss.item()


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)
    cnn = CausalCNN()
    print(f"the CNN's last loss: {train(cnn):.1e}")
    rnn, _ = load(HERE.parent / "pretrained" / "part1.pt", 1)
    shares = {}
    for name, model in (("CNN", cnn), ("RNN", rnn)):
        with torch.no_grad():
            shares[name] = [100 * (model(carry_sums(length).float())[:, 21 + length] > 0).float().mean().item() for length in LENGTHS]
    with open(HERE / "cnn_carry.csv", "w") as file:
        file.write("carry_length,cnn_right_percent,rnn_right_percent\n")
        for row in zip(LENGTHS, shares["CNN"], shares["RNN"]):
            file.write("{},{:.1f},{:.1f}\n".format(*row))
    figure, axes = new_figure(size=(8, 4))
    axes.plot(LENGTHS, shares["RNN"], color=BLUE, label="RNN, 10 units (Part 1)")
    axes.plot(LENGTHS, shares["CNN"], color=ORANGE, label=f"CNN, {LAYERS} layers, sees {FIELD} digits")
    axes.axvline(FIELD - 2, color="black", linestyle=":", label="the carry's origin leaves the CNN's field")
    axes.set(xlabel="columns that the carry runs through", ylabel="digit behind them right (%)", ylim=(-3, 103))
    axes.set_title("A carry that starts outside of a CNN's receptive field does not exist for it")
    axes.legend(loc="center right")
    axes.grid(alpha=0.3)
    save_figure(figure, "cnn_carry.png")
