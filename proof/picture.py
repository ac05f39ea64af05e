"""The carry line as a picture: why a proven network of Part 1 adds."""

import io
import os
from pathlib import Path

os.environ["MPLBACKEND"] = "agg"  # draws files; the user's may not be installed here

from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from models import write_whole
from proof.part1 import Network, dot

COLORS = "#0072b2", "#d55e00"  # of carry 0 and 1


def draw(weights, verdict, path):
    """Draw the eight cases of a verdict, in a format that the file's name tells.

    Each panel is a case, with s before the step from left to right, and after it from
    bottom to top. The box is the interval of the carry before by that of the carry
    after. Raises ValueError for a format that matplotlib does not know.
    """
    content, path = io.BytesIO(), Path(path)
    with style.context("default"):  # whatever the user's is
        figure = _figure(Network(weights), verdict)
        figure.savefig(content, format=path.suffix[1:] or "png", dpi=200)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content.getvalue())


def _figure(net, verdict):
    figure = Figure(figsize=(5.5, 2.4), layout="constrained")
    panels = figure.subplots(2, 4)
    for case, axes in zip(verdict.cases, panels.flat):
        _draw_case(axes, net, case, verdict.intervals)
    finding = "crosses its box from side to side, so no carry is ever lost"
    if not all(case.stays for case in verdict.cases):
        finding = "should cross its box from side to side, but not every one does"
    figure.suptitle(f"Why it adds: every curve {finding}", fontsize=9)
    figure.supxlabel("s before the step: all that the network remembers", fontsize=8)
    figure.supylabel("s after the step", fontsize=8)
    return figure


def _draw_case(axes, net, case, intervals):
    left, right = map(float, intervals[case.carry])
    bottom, top = map(float, intervals[case.target])
    d, u, v = (list(map(float, row)) for row in (net.drives[case.pair], net.u, net.v))
    wide, high = (right - left) / 4, (top - bottom) / 4
    ends = left - wide, right + wide
    kinks = [-d_i / u_i for d_i, u_i in zip(d, u) if u_i]
    points = sorted([*ends, *(s for s in kinks if ends[0] < s < ends[1])])
    curve = [dot(v, (max(d_i + u_i * s, 0) for d_i, u_i in zip(d, u))) for s in points]
    axes.axvspan(left, right, color=COLORS[case.carry], alpha=0.12)
    axes.axhspan(bottom, top, color=COLORS[case.target], alpha=0.12)
    box = (left, bottom), right - left, top - bottom
    axes.add_patch(Rectangle(*box, fill=False, edgecolor="#777777", linewidth=1))
    axes.plot(points, curve, "k.-", linewidth=1.5, markersize=6, markevery=slice(1, -1))
    reads = f"{case.pair[0]} + {case.pair[1]}, carry {case.carry}"
    axes.set_title(f"{reads}:\nwrites {case.digit}, carries {case.target}", fontsize=8)
    axes.set(xlim=ends, ylim=(bottom - high, top + high))
    axes.locator_params(nbins=3)
    axes.tick_params(labelsize=7)
