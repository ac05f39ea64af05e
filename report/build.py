"""Build report.pdf from REPORT.md.

    pip install pypandoc_binary==1.17 typst==0.15.2      only this script needs them
    python report/build.py --name "First Last"           seconds
    python report/build.py --examples                    runs deploy.py for them first

Pandoc turns Markdown and LaTeX formulas into Typst, and Typst sets the pages. Comments
in REPORT.md do not reach the PDF, but those of LAYOUT place columns and figures.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

try:
    import pypandoc
    import typst

    pinned = shutil.which("pandoc", path=Path(pypandoc.__file__).with_name("files"))
    os.environ.setdefault("PYPANDOC_PANDOC", pinned or "pandoc")  # else the newest
except ImportError as error:
    pypandoc, missing = None, error

REMEDY = "try pip install pypandoc_binary==1.17 typst==0.15.2"
TARGET = "typst-smart"  # -smart: typographic quotes; Typst's own turn 1's into a prime
HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

from models import UserError, user_errors, write_whole

EXAMPLES = {  # the assignment's own; 0; a carry through all; unequal; long or largest
    1: ("180 23", "0 0", "65535 1", "40000 3", "99999 99999"),
    2: ("180 23", "0 0", "65535 1", "40000 3", "65535 65535"),
}
LAYOUT = {  # what stands in a comment, and its Typst
    r"columns (\d+) (\d+)":
        r"#block(breakable: false)[#grid(columns: (\1fr, \2fr), gutter: 14pt)[",
    "next column": "][",
    "end columns": "]]",
    "sources": "#[#set text(size: 7.4pt)\n#set par(leading: 0.42em)\n"
               "#set list(spacing: 0.5em)\n#grid(columns: (1fr, 1fr), gutter: 14pt)[",
    "end sources": "]]",
}
STYLE = """\
#set figure(placement: auto)
#set table(inset: (x: 4pt, y: 2.6pt))
#set list(spacing: 0.65em)
#set enum(spacing: 0.65em)
#set par(leading: 0.56em, spacing: 0.8em)
#show heading: set block(above: 1.15em, below: 0.65em)
#show heading.where(level: 1): set text(size: 13pt)
#show heading.where(level: 2): set text(size: 11pt)
#show math.equation.where(block: false): box
#show math.equation.where(block: true): set block(above: 0.65em, below: 0.65em)
#show figure: set block(above: 0.9em, below: 0.9em)
#show figure.where(kind: table): set figure(placement: none)
#show figure.where(kind: table): set block(breakable: false)
#show figure.caption: set text(size: 8.5pt)
#show table: set text(size: 8.4pt)
#show table: set par(justify: false)
#show table.cell: set align(left)
#show raw.where(block: true): set text(size: 7pt)
#show raw.where(block: true): set par(leading: 0.47em)
#show raw.where(block: true): set block(breakable: false)
#show grid: set figure(placement: none)
"""


def refresh_examples(text):
    """The report's text, with what deploy.py prints for the ten examples now."""
    for part, pairs in EXAMPLES.items():
        new = "\n".join(f"```\n{deploy(part, pair)}\n```\n" for pair in pairs)
        pattern = rf"(<!-- examples part{part} -->\n).*?(<!-- end -->)"
        text = re.sub(pattern, rf"\g<1>{new}\2", text, flags=re.DOTALL)
    return text


def deploy(part, pair):
    """Command and output of one deployment of the shipped network, without `model`."""
    command = f"deploy.py {pair}" + " --part 2" * (part == 2)
    model = ROOT / "pretrained" / f"part{part}.pt"
    run = [sys.executable, *command.split(), "--model", model]
    result = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(f"{command} failed: {result.stderr.strip()}")
    lines = [line for line in result.stdout.splitlines() if line[:5] != "model"]
    return "\n".join([f"$ python {command}", *lines])


def to_typst(text, name):
    """Typst source of the report's Markdown."""
    for comment, source in LAYOUT.items():
        block = f"\n```{{=typst}}\n{source}\n```\n"
        text = re.sub(f"<!-- {comment} -->", block, text)
    text = re.sub(r"[ \t]*<!--.*?-->\n?", "", text, flags=re.DOTALL)
    variables = {"papersize": "a4", "fontsize": "9.6pt", "header-includes": STYLE}
    options = ["--standalone", "--columns=82", f"--metadata=author:{name}",
               f"--data-dir={HERE}"]  # where no template of the user's is
    options += [f"--variable={key}:{value}" for key, value in variables.items()]
    try:
        source = pypandoc.convert_text(text, TARGET, "markdown", extra_args=options)
    except (OSError, RuntimeError) as error:  # pypandoc alone comes without Pandoc
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"Pandoc failed ({reason}); {REMEDY}.") from None
    source = source.replace("dot.circle", "dot.o")  # this pandoc has an old name of ⊙
    source = source.replace('image("../', 'image("/')  # / is Typst's root, our ROOT
    head, show, body = source.partition("#show: doc =>")
    return head + show + "\n\n".join(map(keep_with_next, body.split("\n\n")))


def keep_with_next(paragraph):
    """Typst of a paragraph; one that ends in a colon stays with what follows."""
    if not paragraph.endswith(":") or paragraph.lstrip().startswith(("+", "-", "=")):
        return paragraph
    return f"#block(sticky: true, spacing: 0.8em)[{paragraph}]"


def build(name, path):
    """Write the PDF, and nothing beside it. Raises UserError, OSError."""
    if not pypandoc:
        raise UserError(f"the PDF needs pypandoc and typst ({missing}); {REMEDY}.")
    text = (HERE / "REPORT.md").read_text(encoding="utf-8")
    try:
        content = typst.compile(to_typst(text, name).encode(), root=ROOT)
    except typst.TypstError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"Typst failed ({reason}).") from None
    write_whole(path, content)


def main():
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    option = parser.add_argument
    option("--name", default="[FIRST NAME LAST NAME]", help="the author, for page one")
    option("--examples", action="store_true", help="run Question 4's deployments anew")
    option("--out", type=Path, default=HERE / "report.pdf", help="the PDF to write")
    arguments = parser.parse_args()
    with user_errors(parser):
        if arguments.examples:
            path = HERE / "REPORT.md"
            text = refresh_examples(path.read_text(encoding="utf-8"))
            write_whole(path, text.encode())
        build(arguments.name, arguments.out)
        print("wrote", arguments.out)


if __name__ == "__main__":
    main()
