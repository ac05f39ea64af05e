"""Numbers as binary digits, and the random sums that the networks learn from.

The encoding, on the sum 180 + 23 = 203 (in binary 10110100 + 10111 = 11001011):

    place value    1  2  4  8 16 32 64 128 256
    180            0  0  1  0  1  1  0  1   0
     23            1  1  1  0  1  0  0  0   0
    203            1  1  0  1  0  0  1  1   0

Lowest digit first, a network can add as we do on paper: column by column, with a carry.
Both numbers are padded with zeros to one length, at least one beyond the longer of the
two, for the last carry. Part 1 reads the digits in this order ("lowest"), Part 2 in the
usual one ("highest"). Digits of samples are floats, 0.0 or 1.0; T is their number.
"""

import torch
from torch.utils.data import Dataset


def to_digits(integer, length=0, order="lowest"):
    """Binary digits of a non-negative integer of any size, as a list of 0 and 1.

    `length` pads them with zeros on the high side; without it no zero leads, and 0
    gives [0]. Raises ValueError for a negative integer, and for one that does not fit.
    """
    if integer < 0:
        raise ValueError("the number must not be negative: these digits have no sign")
    text = f"{integer:b}".zfill(length)
    if 0 < length < len(text):
        raise ValueError(f"{length} is too short: the number has {len(text)} digits")
    return in_order([int(digit) for digit in text[::-1]], order)


def to_integer(digits, order="lowest"):
    """Integer that a sequence of 0 and 1 stands for: the inverse of `to_digits`."""
    if not set(digits) <= {0, 1}:
        raise ValueError("digits must be 0 and 1")
    return int("".join(map(str, in_order(digits, order)[::-1])), 2)


def in_order(digits, order):
    """Turn digits, lowest first, into an order; or digits in that order back."""
    if order not in ("lowest", "highest"):
        raise ValueError(f"digits come lowest or highest first, not {order!r}")
    return digits if order == "lowest" else digits[::-1]


class BinaryAddition(Dataset):
    """Random sums: every access draws two binary sequences and their exact sum.

    A sample is (inputs (T, 2), sum (T,)), with T one more than the longer sequence.

    size        samples in an epoch
    min_digits  fewest digits of a sequence; lengths are drawn evenly; zeros may lead
    max_digits  most digits of a sequence: up to 62, so that a sum fits into an int64
    order       "lowest" or "highest" digit first
    length      time steps that shorter samples are padded to
    runs        share of the samples with a run of columns 0 + 1 or 1 + 0, of any length
                  at any place, for a carry to travel through; fair digits have few

    Draws come from torch's global generator; each DataLoader worker has its own.
    Raises ValueError for arguments that would draw something else.
    """

    def __init__(self, size=12_800, min_digits=1, max_digits=16, order="lowest",
                 length=0, runs=0.0):
        if not (1 <= min_digits <= max_digits <= 62 and 0 <= runs <= 1):
            raise ValueError("1 <= min_digits <= max_digits <= 62 and 0 <= runs <= 1"
                             f" must hold, not {min_digits}, {max_digits} and {runs}")
        in_order([], order)
        self.size, self.order, self.length, self.runs = size, order, length, runs
        self.min_digits, self.max_digits = min_digits, max_digits

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        if not -self.size <= index < self.size:  # where `for sample in data` ends
            raise IndexError(f"there are {self.size} samples")
        return self.__getitems__([index])[0]

    def __getitems__(self, indices):
        """Samples for a batch, padded to the longest: what a DataLoader asks for.

        Zeros on the high side leave the sum the same, so every digit counts.
        """
        numbers, lengths = self._draw(len(indices))
        steps = max(self.length, int(lengths.max()) + 1)
        places = torch.tensor(in_order(range(steps), self.order))
        digits = (numbers >> places[:, None]) & 1
        sums = (numbers.sum(2) >> places) & 1
        return list(zip(digits.float(), sums.float()))

    def _draw(self, count):
        """Random integers, and the number of digits of each, both (count, 1, 2)."""
        places = torch.arange(self.max_digits)
        digits = torch.randint(2, (count, self.max_digits, 2))
        if self.runs:
            start, beyond = torch.randint(self.max_digits, (2, count, 1))
            run = (places >= start) & (places <= start + beyond)
            run &= torch.rand(count, 1) < self.runs
            digits[..., 1][run] = 1 - digits[..., 0][run]
        lengths = torch.randint(self.min_digits, self.max_digits + 1, (count, 1, 2))
        numbers = (digits << places[:, None]).sum(1, keepdim=True)
        return numbers % 2**lengths, lengths
