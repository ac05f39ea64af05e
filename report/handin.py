"""Make the folder to hand in: the report as a PDF, and the source, with your name.

    pip install pypandoc_binary==1.17 typst==0.15.2     sets the PDF, as in build.py
    python report/handin.py Ada Lovelace     makes LOVELACE-ADA.homework1 and its zip

The folder has report.pdf, and the folder source with everything else. The PDF shows a
name in Latin, Greek or Cyrillic; another script needs a font for it.
"""

import argparse
import json
import os
import re
import shutil
import sys
from pathlib import Path

from build import ROOT, UserError, build, user_errors

NO_SOURCE = {"runs", "venv", "__pycache__", "report.pdf", "pyvenv.cfg"}
ENVIRONMENT = "pyvenv.cfg", "conda-meta"  # what a folder of Python packages has
PACKAGES = {"bin", "include", "lib", "lib64", "scripts", "share"}  # and has in it
FIELD = re.compile(r"""(?m)^NAME = ("[^"\\\n]*"|'[^'\\\n]*')(?=[ \t]*(#.*)?$)""")


def main():
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
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
    source = folder / "source"
    try:
        for path in list(source_files(ROOT)):
            target = source / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)  # not its mode: it may be read-only
        edit(source / "binadd.ipynb", lambda notebook: fill_in(name, notebook))
        edit(source / "README.md", for_a_grader)
        build(name, folder / "report.pdf")
        shutil.make_archive(str(folder), "zip", root_dir=".", base_dir=folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        Path(f"{folder}.zip").unlink(missing_ok=True)
        raise


def source_files(root):
    """Files of the project, without hidden ones, environments and what was made."""
    for place, folders, files in os.walk(root):
        if Path(place) == root and is_environment(root):  # made with: venv .
            folders[:] = [name for name in folders if name.lower() not in PACKAGES]
        inside = [Path(place, name) for name in folders if is_source(name)]
        folders[:] = [path.name for path in inside if not is_environment(path)]
        paths = (Path(place, name) for name in files if is_source(name))
        yield from (path for path in paths if path.is_file())  # no pipe, no dead link


def is_source(name):
    handed_in = name.endswith((".homework1", ".homework1.zip"))
    return not (handed_in or name in NO_SOURCE or name.startswith("."))


def is_environment(folder):
    return any((folder / name).exists() for name in ENVIRONMENT)


def edit(path, change):
    """Change the text of a file by a function."""
    path.write_text(change(path.read_text(encoding="utf-8-sig")), encoding="utf-8")


def fill_in(name, notebook):
    """Text of the notebook, with a name in the cell that asks for it, if one does."""
    try:
        notebook = json.loads(notebook)
    except ValueError as error:  # with the marks of a merge, say
        raise UserError(f"binadd.ipynb is no notebook: {error}.") from None
    for cell in notebook["cells"]:
        text = "".join(cell["source"])  # of a string, or of lines
        if cell["cell_type"] == "code" and FIELD.search(text):
            field = f"NAME = {json.dumps(name, ensure_ascii=False)}"
            text = FIELD.sub(lambda _: field, text, count=1)
            cell["source"] = text.splitlines(keepends=True)
            cell["outputs"] = []  # which showed another name, or none
            break
    return json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"


def for_a_grader(readme):
    """Text of the README for a folder that is handed in, with the report beside it."""
    readme = re.sub(r"(?ms)^## Handing it in\n.*?(?=^## |\Z)", "", readme)
    readme = readme.replace("report/report.pdf ", "../report.pdf     ")  # in a table
    return readme.replace("report/report.pdf", "../report.pdf")


if __name__ == "__main__":
    sys.exit(main())
