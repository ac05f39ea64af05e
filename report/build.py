"""REPORT.md to report.pdf, formulas typeset.

    pip install pypandoc_binary==1.17 typst==0.15.2       not needed to run or train anything
    python report/build.py                                seconds

Pandoc turns the Markdown and its LaTeX formulas into Typst, and Typst sets the pages.
"""

from pathlib import Path

import pypandoc
import typst

HERE = Path(__file__).parent
STYLE = """\
#show table: set par(justify: false)
#show table.cell: set align(left)
#show raw.where(block: true): set text(size: 7.5pt)
#show heading: set block(above: 1.5em, below: 0.8em)
#show figure.where(kind: image): set figure(placement: auto)
#show figure.where(kind: table): set block(breakable: true)
#set table(inset: (y: 3pt))
#show table: set text(size: 8pt)
#show figure.caption: set text(size: 9pt)
"""

if __name__ == "__main__":
    variables = {"papersize": "a4", "fontsize": "10pt", "header-includes": STYLE}
    options = ["--standalone", *(f"--variable={name}:{value}" for name, value in variables.items())]
    text = pypandoc.convert_file(HERE / "REPORT.md", "typst", format="markdown", extra_args=options)
    text = text.replace("dot.circle", "dot.o")  # the name of ⊙ in today's Typst, which this pandoc does not know yet
    source = HERE / "report.typ"
    source.write_text(text)
    try:
        typst.compile(source, output=HERE / "report.pdf", root=HERE.parent)
    finally:
        source.unlink()
    print("wrote", HERE / "report.pdf")
