"""The Authentication-Results field (RFC 8601): ours on top, and nobody else's in our name."""

import re
from functools import reduce

from gateway.routing.authentication import Dmarc, Findings, Result, Signature, Spf

# What is looked ahead for is never tried in another way, as a possessive group would not be: those
# match wrongly before Python 3.11.5 (CPython issue 106052).
_FIELD = re.compile(
    rb"^authentication-results[ \t]*:(?=((?:[^\r\n]+|\r\n[ \t])*))\1(?:\r\n|\Z)",
    re.IGNORECASE | re.MULTILINE,
)
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~@-]+\Z")
# A comment with others in it (RFC 5322 §3.2.2), as many deep as somebody might mean.
_COMMENT = reduce(
    lambda inner, _: rb"\([^()\\]*+(?:(?:\\.|" + inner + rb")[^()\\]*+)*\)", range(5), rb"(?!)"
)
# The authserv-id quoted, plain, or behind a comment that cannot be read.
_SERVER = re.compile(
    rb'(?=((?:[ \t\r\n]+|%b)*))\1(?:"([^"\\]*+(?:\\.[^"\\]*+)*)"|([^ \t\r\n;("/]++)|(\())'
    % _COMMENT,
    re.DOTALL,
)


def field(server: str, found: Findings) -> bytes:
    """The whole field, one method a line."""
    signatures = found.signatures or (Signature(Result.NONE),)
    methods = [_spf(found.spf), *map(_dkim, signatures), _dmarc(found)]
    return ("Authentication-Results: " + ";\r\n\t".join([server, *methods]) + "\r\n").encode()


def strip(header: bytes, server: str) -> bytes | None:
    """A header section without the fields that claim to be ours; None where there are none."""
    if _FIELD.search(header) is None:
        return None
    kept = _FIELD.sub(lambda each: b"" if _claims(each[1], server) else each[0], header)
    return None if len(kept) == len(header) else kept


def _claims(value: bytes, server: str) -> bool:
    """Whether a field's authserv-id is ours, however it is quoted, commented or cased.

    One behind comments that have no end, or more in each other than anybody means, counts as ours.
    """
    found = _SERVER.match(value)
    if found is None or found[4]:
        return found is not None
    _, quoted, token, _ = found.groups()
    name = token if quoted is None else re.sub(rb"\\(.)", rb"\1", quoted)
    return name.decode("utf-8", "replace").strip().rstrip(".").lower() == server.lower()


def _spf(spf: Spf) -> str:
    name = "smtp.helo" if spf.is_helo else "smtp.mailfrom"
    return _method("spf", spf.result, spf.note, {name: spf.domain})


def _dkim(each: Signature) -> str:
    properties = {
        "header.d": each.domain,
        "header.s": each.selector,
        "header.a": each.algorithm,
    }
    return _method("dkim", each.result, each.note, properties)


def _dmarc(found: Findings) -> str:
    dmarc: Dmarc = found.dmarc
    note = dmarc.note or (f"policy {dmarc.policy}" if dmarc.result is Result.FAIL else "")
    author = found.author.domain if found.author else ""
    return _method("dmarc", dmarc.result, note, {"header.from": author})


def _method(name: str, result: Result, note: str, properties: dict[str, str]) -> str:
    words = [f"{name}={result}"]
    if note:
        words.append(f"reason={_value(note)}")
    words += [f"{key}={_value(value)}" for key, value in properties.items() if value]
    return " ".join(words)


def _value(text: str) -> str:
    """A value as it may stand in a field: what is not a token in quotes, nothing but ASCII."""
    if _TOKEN.match(text):
        return text
    plain = "".join(each if " " <= each <= "~" else "?" for each in text)[:100]
    escaped = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
