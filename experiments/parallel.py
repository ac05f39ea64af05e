"""What runs in parallel in a recurrent network: the sequences of a batch, but not the steps of a sequence.

    python experiments/parallel.py       about a minute, on a machine that does nothing else

Times forward and backward of Part 1's network: 64 steps and growing batches, then a batch of 128 and growing sequences;
a causal convolution over the same sequences for comparison, whose steps do not wait for each other. Writes parallel.csv
and parallel.png.
"""

import statistics
import time

import torch
from common import BLUE, HERE, ORANGE, new_figure, save_figure
from torch import nn

from models import SynchronousAdder, choose_device

SIZES = (1, 4, 16, 64, 256, 1024)


def milliseconds(model, batch, steps, device, repeats=7):
    inputs = torch.rand(batch, steps, 2, device=device)
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        model(inputs).sum().backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[1:])


class Convolution(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.output = nn.Conv1d(2, 10, 3, padding=1), nn.Linear(10, 1)

    def forward(self, inputs):
        return self.output(torch.relu(self.layer(inputs.transpose(1, 2))).transpose(1, 2))


if __name__ == "__main__":
    device = choose_device()
    rnn, cnn = SynchronousAdder(constrained=False, noise=0.0).to(device), Convolution().to(device)
    rows = [("batch", size, milliseconds(rnn, size, 64, device), milliseconds(cnn, size, 64, device)) for size in SIZES]
    rows += [("steps", size, milliseconds(rnn, 128, size, device), milliseconds(cnn, 128, size, device)) for size in SIZES]
    with open(HERE / "parallel.csv", "w") as file:
        file.write("grows,size,rnn_ms,convolution_ms\n")
        for row in rows:
            file.write("{},{},{:.3f},{:.3f}\n".format(*row))
    figure, panels = new_figure(1, 2, size=(11, 4.2))
    for axes, what, title in ((panels[0], "batch", "a larger batch: 64 steps"), (panels[1], "steps", "a longer sequence: batch of 128")):
        sizes, rnn_times, cnn_times = zip(*(row[1:] for row in rows if row[0] == what))
        axes.loglog(sizes, rnn_times, "o-", color=BLUE, label="RNN, 10 units")
        axes.loglog(sizes, cnn_times, "s-", color=ORANGE, label="one convolution, 10 channels")
        axes.set(xlabel={"batch": "sequences in the batch", "steps": "time steps"}[what], ylabel=f"forward and backward (ms, {device})", title=title)
        axes.legend()
        axes.grid(alpha=0.3)
    save_figure(figure, "parallel.png")
