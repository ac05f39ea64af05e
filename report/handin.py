"""Make the folder to hand in: the PDF and the notebook with a name, and the source.

    pip install pypandoc_binary==1.17 typst==0.15.2     sets the PDF, as in build.py
    python report/handin.py Ada Lovelace     makes LOVELACE-ADA.homework1 and its zip

The PDF shows a name in Latin, Greek or Cyrillic; another script needs a font for it.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

from build import ROOT, build, user_errors

LEFT_OUT = shutil.ignore_patterns(
    "runs", "venv", ".*", "__pycache__", "*.homework*", "report.pdf", "binadd.ipynb"
)
FIELD = 'NAME = ""'  # in the notebook's first cell


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("first", metavar="FIRST")
    parser.add_argument("last", metavar="LAST")
    arguments = parser.parse_args()
    names = arguments.first, arguments.last
    for name in names:
        if not name.strip() or set(name) & set('/\\:*?"<>|'):
            parser.error(f"{name!r} cannot be a part of a folder's name.")
    title = "-".join(" ".join(names[::-1]).upper().split())
    folder = Path(f"{title}.homework1")
    with user_errors(parser):
        for path in (folder, Path(f"{folder}.zip")):
            if path.exists():
                parser.error(f"{path} is there already; move it away first.")
        make(" ".join(names), folder)
        print(f"wrote {folder} and {folder}.zip")
    return 0


def make(name, folder):
    """Fill the folder, and zip it; leave none if that fails."""
    try:
        shutil.copytree(ROOT, folder, ignore=LEFT_OUT)
        build(name, folder / "report.pdf")
        fill_in(name, ROOT / "binadd.ipynb", folder / "binadd.ipynb")
        shutil.make_archive(str(folder), "zip", root_dir=".", base_dir=folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        Path(f"{folder}.zip").unlink(missing_ok=True)
        raise


def fill_in(name, source, target):
    """Copy the notebook with a name in its first cell of code."""
    notebook = json.loads(source.read_text(encoding="utf-8"))
    cell = notebook["cells"][1]
    lines, cell["outputs"] = cell["source"], []  # which showed no name
    place = next(i for i, line in enumerate(lines) if line.startswith(FIELD))
    lines[place] = lines[place].replace('""', json.dumps(name))
    text = json.dumps(notebook, ensure_ascii=False, indent=1)
    target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
