"""A picture of a proof without rank one: sets of states, and a zonotope on its way.

    python experiments/any_rank_picture.py

Of the shipped network, with noise in its recurrent matrix. States are seen in a plane,
of the logit w·h + c and of v·h, v as in proof/part1.py. Writes results/any_rank.png.
"""

import math

from common import BLUE, ORANGE, ROOT, new_figure, parse, save_figure

import numpy as np
import torch

from models import WEIGHTS, load
from proof import any_rank, find_any_rank
from proof.part1 import Network, lists

NOISE = 0.01  # its standard deviation; entries of the matrix are larger
START, READ = 2, ((0, 1), (1, 1), (0, 1))  # whose set is pushed, and through what
SIDES = {1: (-17.5, -8.5), 0: (-0.6, 0.4)}  # of v·h, where the sets of a carry are


def noisy():
    """Weights, in lists, of the shipped network, which is of rank one, and noise."""
    weights = load(ROOT / "pretrained" / "part1.pt", part=1)[1]["state_dict"]
    noise = torch.randn(10, 10, generator=torch.Generator().manual_seed(0))
    weights[WEIGHTS[1]] = weights[WEIGHTS[1]] + NOISE * noise
    return lists(weights)


def push(checker):
    """Zonotopes (m, G): the set of the node START, and what becomes of it.

    Raises ValueError unless it first needs no halving, and is inside a set at the end.
    """
    sets = checker.certificate
    node, way = START, [(sets.centres[START], sets.columns[START])]
    for x in READ:
        words = any_rank.WORDS[len(sets.next[node])]
        edge = next(i for i, word in enumerate(words) if x in word)
        target = sets.next[node][edge]
        pieces = [
            piece for piece in checker.push(node, *way[-1], sets.halvings)
            if piece[0] == target
        ]
        if len(pieces) > 1:
            raise ValueError("a zonotope on its way is halved")
        node, *zonotope, _ = pieces[0]
        way.append(zonotope)
    if not checker.inside(node, *zonotope):
        raise ValueError("the last zonotope is not inside the set of its node")
    return way


def outline(m, G):
    """Corners (2, K) of a zonotope in the plane, whose centre and generators are given.

    Turned to one side and sorted by their direction, its generators are its edges.
    """
    G = np.where((G[1] < 0) | ((G[1] == 0) & (G[0] < 0)), -G, G)
    G = G[:, np.argsort(np.arctan2(G[1], G[0]))]
    edges = 2 * np.concatenate((G, -G), axis=1).cumsum(axis=1)
    return m[:, None] - G.sum(axis=1, keepdims=True) + edges


def draw(weights, certificate):
    checker, net = any_rank.Checker(weights, certificate, math.inf), Network(weights)
    scale = 2.0 ** np.array(certificate.exponents) / any_rank.FULL
    plane = np.array([net.v, net.w], float) * scale

    def place(m):
        return plane @ np.array(m, float) + [0, float(net.c)]

    def seen(m, G):
        return outline(place(m), plane @ np.array(G, float).T)

    figure, panels = new_figure(columns=2, height=1.7, sharey=True, width_ratios=(3, 1))
    way = push(checker)
    centres = np.array([place(m) for m, _ in way])
    for axes, (carry, side) in zip(panels, SIDES.items()):
        for S in zip(certificate.centres, certificate.columns):
            axes.fill(*seen(*S), facecolor=BLUE + "22", edgecolor=BLUE, linewidth=0.6)
        axes.fill(*seen(*way[0]), facecolor="none", edgecolor=ORANGE, linewidth=1.2)
        for zonotope in way[1:]:
            axes.fill(*seen(*zonotope), facecolor=ORANGE, edgecolor=ORANGE)
        axes.plot(*centres.T, color="black", linewidth=0.6)
        for k, (x, y) in enumerate(centres):
            if side[0] < x < side[1]:
                box = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
                axes.annotate(k, (x, y), (4, 6), textcoords="offset points", bbox=box)
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set(xlim=side, xlabel=f"v·h (carry {carry})")
    panels[0].set(ylabel="logit", ylim=(-26, 22), yticks=(-20, -10, 0, 10, 20))
    figure.suptitle(
        f"{len(certificate.totals)} sets of states (blue);"
        f" one of them (0), pushed {len(READ)} times, ends inside another ({len(READ)})"
    )
    save_figure(figure, "any_rank.png")


if __name__ == "__main__":
    parse(__doc__, jobs=0)
    weights = noisy()
    draw(weights, find_any_rank.prove(weights)[1])
