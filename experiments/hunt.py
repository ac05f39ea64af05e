"""A search for the sums that a Part 2 network is least sure of, in seconds.

A network's smallest margin is the least that a logit of any sum lies on its side of
zero; it is negative if a sum is wrong. The proof runs all 3^16 cases to know it. This
search breeds column sums with small margins instead, and so finds an upper bound.
"""

import torch

from proof.part2 import DIGITS, as_inputs


def margins(model, columns):
    """Smallest margin of each sum, (N,), for column sums (N, 16), highest first."""
    places = torch.arange(DIGITS, -1, -1)
    totals = (columns << places[1:]).sum(1, keepdim=True)
    signs = 2 * (totals >> places & 1) - 1
    inputs = as_inputs(columns).to(next(model.parameters()).dtype)
    with torch.inference_mode():
        return torch.cat(
            [
                (model(some) * sign).amin(1)
                for some, sign in zip(inputs.split(2048), signs.split(2048))
            ]
        )


def hunt(model, population=4096, rounds=150):
    """Smallest margin that the search finds, and its 16 column sums.

    Round after round, the worst sequences are kept, changed in places, and crossed.
    """
    generator = torch.Generator().manual_seed(0)
    columns = _skewed(4 * population, generator)
    values = margins(model, columns)
    for number in range(rounds):
        worst = values.argsort()[:population]
        columns, values = columns[worst], values[worst]
        change = _mutate if number % 3 else _cross
        children = change(columns, generator)
        columns = torch.cat((columns, children))
        values = torch.cat((values, margins(model, children)))
        columns, which = columns.unique(dim=0, return_inverse=True)
        values = values.new_empty(len(columns)).scatter_(0, which, values)
    return values.min().item(), columns[values.argmin()].tolist()


def _skewed(count, generator):
    """Column sums (count, 16), every row with its own odds of 0, 1 and 2."""
    one = torch.rand(count, 1, generator=generator)
    zero = torch.rand(count, 1, generator=generator) * (1 - one)
    draw = torch.rand(count, DIGITS, generator=generator)
    return (draw >= zero).long() + (draw >= zero + one)


def _mutate(columns, generator):
    """Copies with one to three columns, on average, drawn again."""
    odds = (1 + 2 * torch.rand(len(columns), 1, generator=generator)) / DIGITS
    changed = torch.rand(columns.shape, generator=generator) < odds
    return torch.where(
        changed, torch.randint(3, columns.shape, generator=generator), columns
    )


def _cross(columns, generator):
    """Copies whose high columns are their own and low ones another row's."""
    partners = columns[torch.randperm(len(columns), generator=generator)]
    cut = DIGITS * torch.rand(len(columns), 1, generator=generator)
    return torch.where(torch.arange(DIGITS) < cut, columns, partners)
