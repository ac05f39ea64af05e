"""A search for a sum that a network gets wrong, where random tests do not look."""

from itertools import product

import torch

from dataset import in_order, to_digits, to_integer
from deploy import add
from proof.part1 import PAIRS

STREAMS = 32  # that run at once, so that a thousand units fit into memory


def adversarial_pairs(length):
    """Pairs of digits (N, length, 2), lowest first, that a network might not survive.

    Long carries, long silences, all words of up to three pairs repeated, with or
    without a carry sent ahead, and digits from skewed odds.
    """

    def repeat(word, first=()):
        word = torch.tensor(word).repeat(-(-length // len(word)), 1)
        return torch.cat((torch.tensor(first).long().view(-1, 2), word))[:length]

    words = [word for size in (1, 2, 3) for word in product(PAIRS, repeat=size)]
    periodic = [repeat(word, first) for word in words for first in ((), ((1, 1),))]
    carries = [
        repeat([(1, 1)] + [x] * run + [(0, 0)] * rest)
        for run, rest, x in product((8, 30, 100, 1000), (1, 50), PAIRS)
    ]
    generator = torch.Generator().manual_seed(0)
    odds = torch.rand(256, 4, generator=generator) ** 6  # one or two pairs that matter
    choices = torch.multinomial(odds, length, True, generator=generator)
    return torch.cat((torch.stack(periodic + carries), torch.tensor(PAIRS)[choices]))


def exact_digits(pairs):
    """Digits (B, T) of the sums of pairs of digits (B, T, 2), by school addition."""
    carry, digits = torch.zeros_like(pairs[:, 0, 0]), []
    for column in pairs.sum(2).unbind(1):
        digits.append((column + carry) % 2)
        carry = (column + carry) // 2
    return torch.stack(digits, 1)


def find_counterexample(model, length=3000):
    """Two integers whose sum Part 1's network gets wrong, and the first wrong place.

    None if the search finds none. What is not above zero is digit 0, NaN too. A batch
    may round otherwise than deploy.py does, so each find is run again by itself.
    """
    found = []
    for pairs in adversarial_pairs(length).split(STREAMS):
        with torch.inference_mode():
            wrong = (model(pairs.float()) > 0) != exact_digits(pairs).bool()
        for stream in wrong.any(1).nonzero().flatten().tolist():
            place = wrong[stream].int().argmax().item()
            found.append((place, pairs[stream, : place + 1].T.tolist()))
    for place, digits in sorted(found):
        a, b = map(to_integer, digits)
        a += 2 ** (place + 1)  # so that the wrong digit is asked for
        place = wrong_place(model, a, b, place + 3)
        if place is not None:
            return a, b, place
    return None


def wrong_place(model, a, b, length):
    """Lowest place of a + b, in so many digits, that a network gets wrong, or None."""
    first, second, exact = (to_digits(n, length, model.order) for n in (a, b, a + b))
    digits = zip(add(model, first, second), exact)
    wrong = in_order([output != digit for output, digit in digits], model.order)
    return wrong.index(True) if any(wrong) else None
