"""Parses the arguments of MAIL, RCPT and BDAT: text in, values out, else a CommandError's reply.

RFC 5321 §4.1.1.2-3 with SIZE (RFC 1870), BODY (RFC 6152), SMTPUTF8 (RFC 6531) and, where it is
offered, DSN (RFC 3461); RFC 3030 §2.
"""

import re

from msgspec import Struct

from gateway.routing import replies
from gateway.routing.address import Address, AddressError, is_bare_postmaster, parse_path
from gateway.routing.replies import Reply
from gateway.smtpd.notification import MAIL_KEYWORDS, RCPT_KEYWORDS, read_parameters

_QUOTED_OR_NOT = r'(?:[^\s<>"]|"(?:[^"\\]|\\.)*")*'
_PATH = re.compile(rf"(<{_QUOTED_OR_NOT}>)(?: +(.*))?\Z")
# Values outside ASCII are for those to refuse who read them (RFC 6531 §3.3).
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~\u00a0-\U0010ffff]+))?\Z")
_SIZE = re.compile(r"[0-9]{1,20}\Z")
_CHUNK = re.compile(r"([0-9]{1,20})( +LAST)?\Z", re.IGNORECASE)


class CommandError(ValueError):
    """The command is refused with `reply`."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


class Mail(Struct, frozen=True):
    """MAIL FROM: `sender` is None for the null sender, `declared_octets` None without SIZE.

    `dsn` is what was asked of delivery reports, as written.
    """

    sender: Address | None
    declared_octets: int | None = None
    smtputf8: bool = False
    dsn: str = ""


class Rcpt(Struct, frozen=True):
    """RCPT TO: `recipient` is None for `<postmaster>` without a domain; `text` is as typed."""

    recipient: Address | None
    text: str
    dsn: str = ""

    @property
    def key(self) -> str:
        """What recipients are told apart by."""
        return self.recipient.key if self.recipient else self.text


def parse_mail(argument: str, *, offers_dsn: bool = False) -> Mail:
    """Read what follows `MAIL`. Raises CommandError."""
    path, parameters = _split(argument, "FROM:", replies.MAIL_SYNTAX)
    dsn = _take_dsn(parameters, MAIL_KEYWORDS) if offers_dsn and parameters else ""
    known = {"SIZE", "BODY", "SMTPUTF8"}
    if parameters.keys() - known:
        raise CommandError(replies.UNKNOWN_PARAMETER)
    declared = _declared_octets(parameters)
    if parameters.get("BODY", "7BIT").upper() not in ("7BIT", "8BITMIME"):
        raise CommandError(replies.BAD_PARAMETER)
    if parameters.get("SMTPUTF8"):
        raise CommandError(replies.BAD_PARAMETER)
    smtputf8 = "SMTPUTF8" in parameters
    try:
        sender = parse_path(path)
    except AddressError:
        raise CommandError(replies.BAD_SENDER_SYNTAX) from None
    _require_ascii(path, smtputf8=smtputf8)
    return Mail(sender, declared, smtputf8, dsn)


def parse_rcpt(argument: str, *, smtputf8: bool, offers_dsn: bool = False) -> Rcpt:
    """Read what follows `RCPT`. Raises CommandError."""
    path, parameters = _split(argument, "TO:", replies.RCPT_SYNTAX)
    dsn = _take_dsn(parameters, RCPT_KEYWORDS) if offers_dsn and parameters else ""
    if parameters:
        raise CommandError(replies.UNKNOWN_PARAMETER)
    if is_bare_postmaster(path):
        return Rcpt(None, "postmaster", dsn)
    try:
        recipient = parse_path(path)
    except AddressError:
        raise CommandError(replies.BAD_ADDRESS_SYNTAX) from None
    if recipient is None:
        raise CommandError(replies.BAD_ADDRESS_SYNTAX)
    _require_ascii(path + dsn, smtputf8=smtputf8)
    return Rcpt(recipient, path[1:-1], dsn)


def parse_bdat(argument: str) -> tuple[int, bool]:
    """Read what follows `BDAT`: how many octets come, and whether they are the last.

    Raises CommandError.
    """
    match = _CHUNK.match(argument)
    if match is None:
        raise CommandError(replies.BDAT_SYNTAX)
    return int(match[1]), match[2] is not None


def _split(argument: str, keyword: str, syntax: Reply) -> tuple[str, dict[str, str]]:
    """The path and the parameters by upper-case keyword; a space after the colon is let pass."""
    if argument[: len(keyword)].upper() != keyword:
        raise CommandError(syntax)
    rest = argument[len(keyword) :].strip(" ")
    match = _PATH.match(rest)
    if match is None:
        raise CommandError(syntax)
    parameters: dict[str, str] = {}
    for text in filter(None, (match[2] or "").split(" ")):  # no other octet separates
        parameter = _PARAMETER.match(text)
        if parameter is None or parameter[1].upper() in parameters:
            raise CommandError(replies.BAD_PARAMETER)
        parameters[parameter[1].upper()] = parameter[2] or ""
    return match[1], parameters


def _take_dsn(parameters: dict[str, str], keywords: tuple[str, ...]) -> str:
    """What was asked of delivery reports, taken out of the parameters."""
    try:
        asked = read_parameters(parameters, keywords=keywords)
    except ValueError:
        raise CommandError(replies.BAD_PARAMETER) from None
    for keyword in keywords:
        parameters.pop(keyword, None)
    return asked


def _declared_octets(parameters: dict[str, str]) -> int | None:
    if "SIZE" not in parameters:
        return None
    if not _SIZE.match(parameters["SIZE"]):
        raise CommandError(replies.BAD_PARAMETER)
    return int(parameters["SIZE"]) or None  # RFC 1870 §6.1: 0 is "not known"


def _require_ascii(path: str, *, smtputf8: bool) -> None:
    if not path.isascii() and not smtputf8:
        raise CommandError(replies.NEEDS_SMTPUTF8)
