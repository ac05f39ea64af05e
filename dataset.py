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

import sys

try:
    import torch
    from torch.utils.data import Dataset
except Exception as error:  # missing, or broken in some way
    print(f"torch does not load ({error}); see README.md", file=sys.stderr)
    sys.exit(2)

ORDERS = ("lowest", "highest")


def to_digits(integer, length=None, order="lowest"):
    """Binary digits of a non-negative integer of any size, as a list of 0 and 1.

    `length` pads with zeros on the high side; without it no zero leads, but 0 is [0].
    Raises TypeError unless it is an int (bools are refused), ValueError if it is
    negative, does not fit into `length`, or the order is unknown.
    """
    _check_order(order)
    for name, value in (("number", integer), ("length", length or 0)):
        if type(value) is not int:
            raise TypeError(f"the {name} must be an int, not {type(value).__name__}")
    if integer < 0:
        raise ValueError("the number must not be negative: these digits have no sign")
    text = f"{integer:b}"
    if length is not None and length < len(text):
        raise ValueError(f"{length} is too short: the number has {len(text)} digits")
    digits = [int(digit) for digit in text.zfill(length or 0)]
    return digits if order == "highest" else digits[::-1]


def to_integer(digits, order="lowest"):
    """Integer that a sequence of 0 and 1 stands for: the inverse of `to_digits`.

    Raises TypeError for digits that are not ints (bools are refused), ValueError for
    other digits, for none at all, or for an unknown order.
    """
    _check_order(order)
    digits = list(digits)
    if set(map(type, digits)) - {int}:
        raise TypeError("digits must be the integers 0 and 1")
    if not digits or set(digits) - {0, 1}:
        raise ValueError("digits must be a sequence of the integers 0 and 1")
    text = "".join(map(str, digits))
    return int(text if order == "highest" else text[::-1], 2)


def _check_order(order):
    if order not in ORDERS:
        raise ValueError(f"the order of digits must be in {ORDERS}, not {order!r}")


class BinaryAddition(Dataset):
    """Random sums: every access draws two binary sequences and their exact sum.

    A sample is (inputs (T, 2), sum (T,)), with T one more than the longer sequence.

    size        samples in an epoch
    min_digits  fewest and most digits of a sequence; lengths are drawn evenly; zeros
    max_digits    may lead. At most 62, so that a sum fits into an int64
    order       "lowest" or "highest" digit first
    length      time steps that shorter samples are padded to
    runs        share of the samples with a run of columns 0 + 1 or 1 + 0, of any length
                  at any place, for a carry to travel through. Fair digits alone, the
                  default, end a carry after two columns on average

    Draws come from torch's global generator: `torch.manual_seed` fixes them, and
    DataLoader workers, which torch seeds differently, do not repeat each other.
    Raises ValueError for arguments that make no sense.
    """

    def __init__(self, size=12_800, min_digits=1, max_digits=16, order="lowest",
                 length=0, runs=0.0):
        self.size, self.order, self.length, self.runs = size, order, length, runs
        self.min_digits, self.max_digits = min_digits, max_digits
        self._check()

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        return self.__getitems__([index])[0]

    def __getitems__(self, indices):
        """A sample for each index, as a list, padded to the longest of this call.

        A DataLoader calls this once a batch. Padding is no filler: with it a sample
        is the same sum with zeros on the high side, so every digit counts.
        """
        self._check()
        if not -self.size <= min(indices) <= max(indices) < self.size:
            raise IndexError(f"there are {self.size} samples")
        digits, lengths = self._draw(len(indices))
        steps = max(self.length, int(lengths.max()) + 1)
        digits = torch.nn.functional.pad(digits, (0, 0, 0, steps - digits.shape[1]))
        places = torch.arange(steps)
        totals = (digits.sum(2) << places).sum(1, keepdim=True)
        sums = (totals >> places) & 1
        if self.order == "highest":
            digits, sums = digits.flip(1), sums.flip(1)
        return list(zip(digits.float(), sums.float()))

    def _draw(self, count):
        """Digits (count, max_digits, 2), lowest first, and lengths (count, 1, 2)."""
        places = torch.arange(self.max_digits)
        digits = torch.randint(2, (count, self.max_digits, 2))
        if self.runs:
            columns = digits.sum(2)
            start, beyond = torch.randint(self.max_digits, (2, count, 1))
            inside = (places >= start) & (places <= start + beyond)
            columns[inside & (torch.rand(count, 1) < self.runs)] = 1
            first = torch.where(columns == 1, digits[..., 0], columns // 2)
            digits = torch.stack((first, columns - first), dim=2)
        lengths = torch.randint(self.min_digits, self.max_digits + 1, (count, 1, 2))
        return digits * (places[:, None] < lengths), lengths

    def _check(self):
        _check_order(self.order)
        if self.size < 1:
            raise ValueError(f"size must be at least 1, not {self.size}")
        if not 1 <= self.min_digits <= self.max_digits <= 62:
            raise ValueError("1 <= min_digits <= max_digits <= 62 must hold, not"
                             f" {self.min_digits} and {self.max_digits}")
        if not 0 <= self.runs <= 1:
            raise ValueError(f"runs is a share from 0 to 1, not {self.runs}")
