"""The four ways of wiring a recurrent network in time, as a picture.

    python experiments/schemes.py       at once

Writes schemes.png.
"""

from common import BLUE, GREEN, ORANGE, new_figure, save_figure

# name, steps, steps with an input, steps with an output, an example
SCHEMES = [
    ("1  one to many", 4, {0}, {0, 1, 2, 3}, "an image in, its caption out"),
    ("2  many to one", 4, {0, 1, 2, 3}, {3}, "a review in, its mood out"),
    ("3  many to many, delayed: Part 2", 6, {0, 1, 2}, {3, 4, 5}, "all digits in, then the sum out"),
    ("4  many to many, synchronised: Part 1", 4, {0, 1, 2, 3}, {0, 1, 2, 3}, "a digit pair in, a digit of the sum out"),
]


def box(axes, x, y, text, color):
    axes.text(x, y, text, ha="center", va="center", color="white", fontsize=10, bbox={"boxstyle": "round,pad=0.45", "facecolor": color, "edgecolor": "none"})


def arrow(axes, start, end):
    axes.annotate("", xy=end, xytext=start, arrowprops={"arrowstyle": "->", "linewidth": 1.4, "color": "#333333"})


if __name__ == "__main__":
    figure, panels = new_figure(2, 2, size=(11, 6.5))
    for axes, (name, steps, inputs, outputs, example) in zip(panels.flat, SCHEMES):
        for t in range(steps):
            box(axes, t, 1, f"$h_{t + 1}$", BLUE)
            if t:
                arrow(axes, (t - 0.75, 1), (t - 0.25, 1))
            if t in inputs:
                box(axes, t, 0, f"$x_{t + 1}$", GREEN)
                arrow(axes, (t, 0.25), (t, 0.75))
            if t in outputs:
                box(axes, t, 2, f"$y_{t + 1}$", ORANGE)
                arrow(axes, (t, 1.25), (t, 1.75))
        middle = (steps - 1) / 2
        axes.set(xlim=(middle - 3, middle + 3), ylim=(-0.5, 2.5))
        axes.set_title(f"{name}\n{example}", fontsize=11)
        axes.axis("off")
    save_figure(figure, "schemes.png")
