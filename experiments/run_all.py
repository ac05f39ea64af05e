"""Make all that was measured anew: networks, certificates, results, report.

    python experiments/run_all.py       hours on two cores; stops at the first failure

First come the networks in pretrained/, the plots of their losses, their certificates,
Shipped.v and the page; then every experiment, the tables, the ten deployments and the
PDF. Needs Coq, and what report/build.py needs. The sweeps skip what is in their tables
already: to measure anew, delete the CSV files in results/ and the networks in
runs/experiments/.
Only the notebook is not run here: jupyter execute --inplace binadd.ipynb does it.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from common import NETWORKS, RESULTS, ROOT, parse


def run(*command, **options):
    """Finished process of a script, which must succeed."""
    print("==", *command, flush=True)
    command = [sys.executable, *map(str, command)]
    return subprocess.run(command, cwd=ROOT, check=True, **options)


def make_networks():
    folder = NETWORKS / "shipped"
    for part in (1, 2):
        run(f"train_part{part}.py", "--out", folder, "--device", "cpu")
        shutil.copy(folder / f"part{part}.pt", ROOT / "pretrained")
        shutil.copy(folder / f"part{part}_loss.png", RESULTS)


def make_certificates():
    picture = (RESULTS / "carry_line.png").relative_to(ROOT)
    for part in (1, 2):
        model = "--part", part, "--model", f"pretrained/part{part}.pt"
        with open(RESULTS / f"certificate_part{part}.txt", "wb") as file:
            run("certify.py", *model, "--picture", picture, stdout=file)
    model = "--model", "pretrained/part1.pt"
    run("proof/coq.py", *model, "--export", "proof/Shipped.v")


def experiments():
    """Paths of the scripts here, but for the tables, which need what these write."""
    paths = sorted(Path(__file__).parent.glob("*.py"))
    others = "run_all.py", "tables.py"
    return [path for path in paths if path.name not in others
            and "__main__" in path.read_text(encoding="utf-8")]


if __name__ == "__main__":
    parse(__doc__, jobs=0)
    make_networks()
    make_certificates()
    run("page/build.py", "--model", "pretrained/part1.pt")
    for path in experiments():
        run(path)
    run("experiments/tables.py")
    run("report/build.py", "--examples")
