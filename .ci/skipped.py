"""Print the names of the tests that are skipped here, without running any.

    python .ci/skipped.py       from the root
"""

import unittest


def skipped(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from skipped(test)
        else:
            method = getattr(test, test.id().rpartition(".")[2], None)
            marks = [getattr(x, "__unittest_skip__", False) for x in (test, method)]
            if any(marks):
                yield test.id()


if __name__ == "__main__":
    print(*skipped(unittest.defaultTestLoader.discover(".")), sep="\n")
