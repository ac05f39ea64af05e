"""Every table and picture of the report, one experiment after the other.

    python experiments/all.py       some two hours on two cores; each goes on where it was stopped

The sweeps skip what is already in their tables: delete a CSV file to have it measured anew.
"""

import subprocess
import sys
from pathlib import Path

QUICK = ("schemes", "lstm_bptt", "gradients", "cnn_carry", "part2_inside", "parallel")
SWEEPS = ("sweep_part1", "part2_start", "part2_order", "part2_capacity", "part2_margins", "sweep_part2")
LAST = ("faults", "benchmark", "tables")

if __name__ == "__main__":
    for name in (*QUICK, *SWEEPS, *LAST):
        print(f"== {name}", flush=True)
        subprocess.run([sys.executable, Path(__file__).parent / f"{name}.py"], check=True)
