"""REPORT.md to report.pdf, formulas typeset.

    pip install pypandoc_binary==1.17 typst==0.15.2       not needed to run or train anything
    python report/build.py                                seconds

Pandoc turns the Markdown and its LaTeX formulas into Typst, and Typst sets the pages.
"""

from pathlib import Path

import pypandoc
import typst

HERE = Path(__file__).parent

if __name__ == "__main__":
    options = ["--standalone", "--variable=papersize:a4", "--variable=fontsize:10pt"]
    text = pypandoc.convert_file(HERE / "REPORT.md", "typst", format="markdown", extra_args=options)
    text = text.replace("dot.circle", "dot.o")  # the name of ⊙ in today's Typst, which this pandoc does not know yet
    source = HERE / "report.typ"
    source.write_text(text)
    try:
        typst.compile(source, output=HERE / "report.pdf", root=HERE.parent)
    finally:
        source.unlink()
    print("wrote", HERE / "report.pdf")
