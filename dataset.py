"""Numbers as binary digits, and the random sums that the networks learn from.

The encoding, on the sum 180 + 23 = 203 (in binary 10110100 + 10111 = 11001011):

    place value    1  2  4  8 16 32 64 128 256
    180            0  0  1  0  1  1  0  1   0
     23            1  1  1  0  1  0  0  0   0
    203            1  1  0  1  0  0  1  1   0

Written like this, lowest digit first, a network can add as we do on paper: column by column, with a carry.
Both numbers are padded with zeros to one length, at least one beyond the longer of the two, so that the last
carry has a place to go. Part 1 reads the digits in this order ("lowest"), Part 2 in the usual one ("highest").

Tensors: B is the batch, T the time steps (digits). Inputs are (B, T, 2), one digit of each number at a step;
sums are (B, T). Digits are floats, 0.0 or 1.0, as the network and the loss want them.
"""

import os

import torch
from torch.nn.functional import pad
from torch.utils.data import Dataset

ORDERS = ("lowest", "highest")
AHEAD = 10  # batches that are drawn at once


def to_digits(integer, length=None, order="lowest"):
    """The binary digits of a non-negative Python integer of any size, as a list of 0 and 1.

    `length` pads with zeros on the high side; without it there are no leading zeros, and 0 is the one digit [0].
    Raises TypeError for what is no int (booleans included), ValueError for a negative integer, a length that is
    too short or an unknown order.
    """
    _check_order(order)
    _check_integer("the number", integer)
    if integer < 0:
        raise ValueError("the number must not be negative: these digits have no sign")
    needed = max(integer.bit_length(), 1)
    if length is None:
        length = needed
    _check_integer("the length", length)
    if length < needed:
        raise ValueError(f"a length of {length} is too short: the number has {needed} binary digits")
    highest_first = f"{integer:b}".zfill(length).encode().translate(_FROM_TEXT)
    return list(highest_first if order == "highest" else highest_first[::-1])


def to_integer(digits, order="lowest"):
    """The integer that a sequence of 0 and 1 stands for: the inverse of `to_digits`, leading zeros or not.

    Raises TypeError for digits that are no ints (booleans included), ValueError for an empty sequence, digits
    other than 0 and 1 or an unknown order.
    """
    _check_order(order)
    digits = list(digits)
    if not digits:
        raise ValueError("a number needs at least one digit")
    for wrong in set(map(type, digits)) - {int}:
        raise TypeError(f"digits must be the integers 0 and 1, and one is a {wrong.__name__}")
    for wrong in set(digits) - {0, 1}:
        raise ValueError(f"digits must be 0 or 1, and one is {wrong}")
    text = bytes(digits).translate(_TO_TEXT).decode()
    return int(text if order == "highest" else text[::-1], 2)  # powers of two convert in linear time


_FROM_TEXT = bytes.maketrans(b"01", b"\x00\x01")
_TO_TEXT = bytes.maketrans(b"\x00\x01", b"01")


def _check_integer(name, value):
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, and {value!r} is a {type(value).__name__}")


def _check_order(order):
    if order not in ORDERS:
        raise ValueError(f"the order of digits must be one of {', '.join(ORDERS)}, and not {order!r}")


class BinaryAddition(Dataset):
    """Random sums. Every access draws anew, whatever the index: two binary sequences and their exact sum.

    A sample is (inputs (T, 2), sum (T,)), T one more than the longer sequence, or `length` if that is given.
    Each sequence has 1 to `max_digits` digits, evenly drawn; zeros may lead, and the number zero can come up.

    size        samples in an epoch
    max_digits  digits that a number has at most (62 at most, so that a sum fits into an int64)
    order       "lowest" or "highest" digit first
    length      time steps of every sample; None takes what the numbers need
    full        share of the samples in which both numbers have all `max_digits` digits
    skewed      share of the samples with skewed digit statistics: how often a column adds up to 1 is drawn for the sample,
                evenly from 0 to 1, and so is how often one of the others adds up to 0 and not to 2. So long carries and
                long silences are common. In fair random digits a carry run ends after two steps on average, and a
                network that forgets a carry after twenty passes unnoticed
    runs        share of the samples with one run of columns 0 + 1 or 1 + 0, of any length at any place: what a carry must
                travel through

    Draws come from torch's global generator, so `torch.manual_seed` fixes them, and DataLoader workers, which
    torch seeds differently, do not repeat each other. Raises ValueError for arguments that make no sense.
    """

    def __init__(self, size=12_800, max_digits=16, order="lowest", length=None, full=0.0, skewed=0.5, runs=0.0):
        _check_order(order)
        if size < 1:
            raise ValueError(f"the dataset needs at least one sample, and not {size}")
        if not 1 <= max_digits <= 62:
            raise ValueError(f"max_digits must be from 1 to 62, and not {max_digits}")
        if length is not None and length <= max_digits:
            raise ValueError(f"a length of {length} leaves no room for the carry of {max_digits} digits")
        if min(full, skewed, runs) < 0 or max(full, skewed, runs) > 1:
            raise ValueError("full, skewed and runs are shares: they must be from 0 to 1")
        self.size, self.max_digits, self.order, self.length = size, max_digits, order, length
        self.full, self.skewed, self.runs = full, skewed, runs
        self._drawn, self._next = None, None  # samples drawn ahead, and who may have them: a process, and the index it reads next

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        if not -self.size <= index < self.size:
            raise IndexError(f"index {index} is outside a dataset of {self.size} samples")
        inputs, sums = self._sums(1)
        return inputs[0], sums[0]

    def __getitems__(self, indices):
        """A whole batch in a few tensor operations: inputs (B, T, 2) and sums (B, T), T the longest sample's.

        The DataLoader calls this once a batch instead of `__getitem__` once a sample: 1.28 million calls less. Drawing
        ten batches costs little more than drawing one, so whoever reads from index 0 on, one batch after the other, gets them
        from a draw of ten, which then have one T. Other calls get a draw of their own.
        """
        first, count, reader = indices[0], len(indices), os.getpid()
        in_turn = self._next == (reader, first) and first > 0
        if not in_turn or len(self._drawn[1]) < count:
            ahead = AHEAD * count if in_turn or first == 0 else count
            self._drawn = self._sums(max(count, min(ahead, self.size - first)))
        batch, self._drawn = zip(*((digits[:count], digits[count:]) for digits in self._drawn))
        self._next = reader, first + count
        return batch

    def collate(self, batch):
        """The DataLoader's `collate_fn`: pads a list of samples on the high side to the longest, and stacks them.

        A padded digit counts in the loss like any other. It is no filler: with it the sample is the same sum
        with one more leading zero, whose digit is exactly 0, and a network that is deployed on numbers of
        unequal length has to get it right. So there is no mask. What `__getitems__` made is a batch already.
        """
        if isinstance(batch, tuple):
            return batch
        longest = max(len(sums) for _, sums in batch)

        def padded(digits):
            missing = longest - len(digits)
            rows = (missing, 0) if self.order == "highest" else (0, missing)
            return pad(digits, (0, 0, *rows) if digits.dim() == 2 else rows)

        return tuple(torch.stack([padded(digits) for digits in column]) for column in zip(*batch))

    def _sums(self, count):
        """So many samples: inputs (B, T, 2) and sums (B, T)."""
        digits, lengths = self._draw(count)
        missing = (self.length or int(lengths.max()) + 1) - self.max_digits
        digits = pad(digits, (0, 0, 0, missing))  # cuts off where negative
        places = torch.arange(digits.shape[1])
        totals = (digits.sum(2) << places).sum(1, keepdim=True)
        sums = (totals >> places) & 1
        if self.order == "highest":
            digits, sums = digits.flip(1), sums.flip(1)
        return digits.float(), sums.float()

    def _draw(self, count):
        """Digits of both numbers (B, max_digits, 2), lowest first, zeros beyond their lengths; and these, (B, 1, 2)."""
        places = torch.arange(self.max_digits)
        skewed = torch.rand(count, 1) < self.skewed
        one, zero = torch.where(skewed, torch.rand(2, count, 1), 0.5)  # how often a column adds up to 1; of the others, to 0
        zero = zero * (1 - one)
        draw = torch.rand(count, self.max_digits)
        columns = (draw >= zero).long() + (draw >= zero + one)
        if self.runs:
            start, run = torch.randint(self.max_digits, (2, count, 1))
            inside = (torch.rand(count, 1) < self.runs) & (places >= start) & (places <= start + run)
            columns.masked_fill_(inside, 1)
        first = torch.where(columns == 1, torch.randint(2, columns.shape), columns >> 1)
        lengths = torch.randint(1, self.max_digits + 1, (count, 1, 2))
        if self.full:
            lengths = torch.where(torch.rand(count, 1, 1) < self.full, self.max_digits, lengths)
        digits = torch.stack((first, columns - first), dim=2)
        return digits.masked_fill_(places[:, None] >= lengths, 0), lengths
