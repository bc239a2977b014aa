"""Messages whose sender is checked: signed ones, and proof that the server did check them.

A figure counts only if a stored message says in its Authentication-Results that SPF, DKIM and
DMARC pass; otherwise a server that checks nothing would win.
"""

import re
from dataclasses import replace
from typing import cast

from benchmarks import author
from benchmarks.case import Sample, Task, WrongAnswerError
from benchmarks.measures.load import check_stored, order, run, sample
from benchmarks.peers import Authenticator, Peer

METHODS = ("spf", "dkim", "dmarc")
_FIELD = re.compile(rb"^Authentication-Results:((?:[^\r\n]|\r?\n[ \t])+)", re.MULTILINE)


def authenticated(peer: Peer, task: Task) -> Sample:
    """The time to the 250 of messages that an author signed."""
    result = run(replace(order("authenticated", peer, task), signing_key=author.secret()))
    lacking = lacks(cast("Authenticator", peer).stored_message())
    check_stored(peer, result.accepted)
    if lacking:
        raise WrongAnswerError(f"a stored message does not say: {', '.join(lacking)}")
    return sample(result)


def lacks(message: bytes) -> list[str]:
    """The methods that did not pass by the message's Authentication-Results."""
    found = _FIELD.search(message)
    said = found[1].decode() if found else ""
    return [f"{method}=pass" for method in METHODS if f"{method}=pass" not in said]
