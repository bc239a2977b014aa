"""Puts the table of the last benchmark into docs/performance.md, between its two marks.

`python -m benchmarks.publish` is the only way a figure gets into that page.
"""

import sys

from benchmarks.database import PROJECT
from benchmarks.report import Report

RESULTS = PROJECT / "var" / "benchmarks" / "latest.json"
PAGE = PROJECT / "docs" / "performance.md"
BEGIN = "<!-- begin of the table: written by python -m benchmarks.publish -->\n"
END = "<!-- end of the table -->\n"


def main() -> str | None:
    """What is in the way, or None."""
    if not RESULTS.exists():
        return "No benchmark has been run here: `make bench` first."
    text = PAGE.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        return f"{PAGE.name} has lost the marks around its table: {BEGIN.strip()} {END.strip()}"
    PAGE.write_text(f"{before}{BEGIN}\n{Report.read(RESULTS).markdown()}\n{END}{after}")
    return None


if __name__ == "__main__":
    sys.exit(main())
