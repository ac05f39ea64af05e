"""The four ways to wire a recurrent network in time, as a picture.

    python experiments/schemes.py       at once; writes results/schemes.png
"""

from common import BLUE, GREEN, ORANGE, new_figure, parse, save_figure

SCHEMES = {  # title: (steps with an input, steps with an output)
    "1  one to many": ([1], [1, 2, 3, 4]),
    "2  many to one": ([1, 2, 3, 4], [4]),
    "3  delayed (Part 2)": ([1, 2, 3], [4, 5, 6]),
    "4  synchronised (Part 1)": ([1, 2, 3, 4], [1, 2, 3, 4]),
}


def box(axes, x, y, text, color):
    style = {"boxstyle": "round,pad=0.2", "facecolor": color, "edgecolor": "none"}
    axes.text(x, y, text, ha="center", va="center", color="white", bbox=style)


def arrow(axes, start, end):
    style = {"arrowstyle": "->", "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops=style)


def draw(axes, inputs, outputs):
    steps = max(outputs)
    for t in range(1, steps + 1):
        box(axes, t, 1, f"$h_{t}$", BLUE)
        if t > 1:
            arrow(axes, (t - 0.68, 1), (t - 0.32, 1))
        if t in inputs:
            box(axes, t, 0, f"$x_{t}$", GREEN)
            arrow(axes, (t, 0.3), (t, 0.7))
        if t in outputs:
            box(axes, t, 2, f"$y_{t}$", ORANGE)
            arrow(axes, (t, 1.3), (t, 1.7))
    axes.set(xlim=(steps / 2 - 2.6, steps / 2 + 3.6), ylim=(-0.4, 2.4))
    axes.axis("off")


if __name__ == "__main__":
    parse(__doc__, jobs=0)
    figure, panels = new_figure(2, 2, height=2.5, share=0.46)
    for axes, (title, times) in zip(panels.flat, SCHEMES.items()):
        draw(axes, *times)
        axes.set_title(title, fontsize=8)
    save_figure(figure, "schemes.png")
