"""One question, one answer: what a pasted text is, was or never has been, and what happened to it.

Look-ups are exact or by a beginning, each from an index (docs/operating.md lists them); nothing is
counted in tables of events, and no look-up takes more rows than are shown.
"""

from gateway.search.answer import Answer, find
from gateway.search.question import Question, read

__all__ = ["Answer", "Question", "find", "read"]
