"""Write page/adder.html: one offline file that shows how a network adds, and proves it.

    python page/build.py                  of runs/part1.pt, or else the shipped one
    python page/build.py --model a.pt --out a.html

The page is template.html with the weights of a Part 1 and a Part 2 network in it.
"""

import argparse
import base64
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from deploy import default_model
from models import WEIGHTS, load, user_errors, write_whole

MARK = "{{networks}}"  # in the template, for the weights


def pack(path, part):
    """Facts and weights of a checkpoint, as the page reads them.

    The weights are those of `WEIGHTS`, in its order, as float32, lowest byte first.
    """
    checkpoint = load(path, part)[1]
    arrays = [checkpoint["state_dict"][name].numpy() for name in WEIGHTS]
    content = b"".join(array.astype("<f4").tobytes() for array in arrays)
    facts = {name: checkpoint[name] for name in ("hidden", "sha256")}
    return facts | {"seed": f"{checkpoint.get('seed')!a:.20}",
                    "weights": base64.b64encode(content).decode()}


def build(model, other):
    """Text of the page for the checkpoints of a Part 1 and a Part 2 network."""
    networks = json.dumps({"part1": pack(model, 1), "part2": pack(other, 2)})
    template = (HERE / "template.html").read_text(encoding="utf-8")
    return template.replace(MARK, networks.replace("<", r"\u003c"))  # no end of script


def main():
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    option = parser.add_argument
    option("--model", type=Path,
           help="Part 1: default runs/part1.pt, or the shipped one")
    option("--out", type=Path, default=HERE / "adder.html", help="default: %(default)s")
    arguments = parser.parse_args()
    with user_errors(parser):
        page = build(arguments.model or default_model(1), default_model(2)).encode()
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(arguments.out, page)
        print(f"wrote {arguments.out}, {len(page) / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
