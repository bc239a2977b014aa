"""What a sender asks of delivery reports (RFC 3461 §4): checked, and kept to the octet.

RET and ENVID come with MAIL, NOTIFY and ORCPT with RCPT. They are passed on as they were written.
"""

import re
from collections.abc import Mapping

MAIL_KEYWORDS = ("RET", "ENVID")
RCPT_KEYWORDS = ("NOTIFY", "ORCPT")

ENVID_MAX_OCTETS = 100
ORCPT_MAX_OCTETS = 500

_XTEXT = r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*"
# An address outside ASCII may stand in ORCPT as it is, where SMTPUTF8 is on (RFC 6533 §3).
_UNITEXT = r"(?:[!-*,-<>-~\u00a0-\U0010ffff]|\+[0-9A-F]{2}|\\x\{[0-9A-F]{2,6}\})*"
_WHEN = r"(?:SUCCESS|FAILURE|DELAY)"
_FORMS = {
    "RET": re.compile(r"(?:FULL|HDRS)\Z", re.IGNORECASE),
    "ENVID": re.compile(rf"(?=.{{1,{ENVID_MAX_OCTETS}}}\Z){_XTEXT}\Z"),
    "NOTIFY": re.compile(rf"(?:NEVER|{_WHEN}(?:,{_WHEN}){{0,2}})\Z", re.IGNORECASE),
    "ORCPT": re.compile(rf"(?:[A-Za-z0-9-]+;{_XTEXT}|utf-8;{_UNITEXT})\Z", re.IGNORECASE),
}


def read_parameters(parameters: Mapping[str, str], *, keywords: tuple[str, ...]) -> str:
    """Those of the keywords that were given, with their values as written, in the RFC's order.

    Raises ValueError where a value has a wrong form.
    """
    given = [keyword for keyword in keywords if keyword in parameters]
    for keyword in given:
        _check(keyword, parameters[keyword])
    return " ".join(f"{keyword}={parameters[keyword]}" for keyword in given)


def _check(keyword: str, value: str) -> None:
    if not _FORMS[keyword].match(value):
        raise ValueError(f"{keyword} has another form.")
    if keyword == "ORCPT" and len(value.encode()) > ORCPT_MAX_OCTETS:
        raise ValueError("ORCPT is too long.")
    asked = value.upper().split(",")
    if keyword == "NOTIFY" and len(set(asked)) < len(asked):
        raise ValueError("NOTIFY names something twice.")
