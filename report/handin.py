"""Make the folder to hand in: the PDF and the notebook with a name, and the source.

    pip install pypandoc_binary==1.17 typst==0.15.2      to set the PDF, as build.py does
    python report/handin.py Ada Lovelace         makes LOVELACE-ADA.homework1 and its zip
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = shutil.ignore_patterns(
    "runs", "venv", ".*", "__pycache__", "*.homework*", "report.pdf", "binadd.ipynb"
)
FIELD = 'NAME = ""'  # in the notebook's first cell


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("first", metavar="FIRST")
    parser.add_argument("last", metavar="LAST")
    arguments = parser.parse_args()
    name = f"{arguments.first} {arguments.last}"
    title = f"{arguments.last} {arguments.first}".upper().replace(" ", "-")
    folder = Path(f"{title}.homework1")
    if "/" in name or "\\" in name:
        parser.error("a name must not contain a slash.")
    if folder.exists():
        parser.error(f"{folder} is there already; move it away first.")
    try:
        from build import build
    except ImportError as error:
        parser.error(f"the PDF needs pypandoc and typst ({error}); see --help.")
    shutil.copytree(ROOT, folder, ignore=LEFT_OUT)
    build(name, (folder / "report.pdf").resolve())
    fill_in(name, ROOT / "binadd.ipynb", folder / "binadd.ipynb")
    shutil.make_archive(str(folder), "zip", root_dir=".", base_dir=folder)
    print(f"wrote {folder} and {folder}.zip")
    return 0


def fill_in(name, source, target):
    """Copy the notebook with a name in its first cell of code."""
    notebook = json.loads(source.read_text(encoding="utf-8"))
    lines = notebook["cells"][1]["source"]
    place = next(i for i, line in enumerate(lines) if line.startswith(FIELD))
    lines[place] = lines[place].replace('""', json.dumps(name))
    text = json.dumps(notebook, ensure_ascii=False, indent=1)
    target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
