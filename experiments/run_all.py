"""Run every experiment once, then make the tables and the report from the results.

    python experiments/run_all.py       hours on two cores; stops at the first failure

The sweeps skip what is in their tables already: to measure anew, delete the CSV files
in results/ and the networks in runs/experiments/.
"""

import subprocess
import sys
from pathlib import Path

SCRIPTS = """
schemes lstm_bptt gradients cnn_carry part2_inside part1_ablation coq_agreement attack
part2_ablation part2_seeds part2_start part2_capacity parallel benchmark
tables
"""

if __name__ == "__main__":
    here = Path(__file__).parent
    paths = [here / f"{name}.py" for name in SCRIPTS.split()]
    for path in (*paths, here.parent / "report" / "build.py"):
        print(f"== {path.name}", flush=True)
        subprocess.run([sys.executable, path], check=True)
