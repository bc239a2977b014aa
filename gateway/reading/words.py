"""Octets to text: transfer encodings, character sets, encoded words, and HTML without its markup.

Nothing here raises for what a stranger wrote: what cannot be decoded shows its octets as escapes.
"""

import base64
import binascii
import html
import quopri
import re

# Character sets that mail is written in; Python knows codecs that are none, and slow ones.
_CHARSETS = re.compile(
    r"(?:us-ascii|ascii|utf-?8|utf-?16(?:[bl]e)?|iso-8859-\d{1,2}|latin-?1|windows-125\d|cp125\d"
    r"|koi8-[ru]|gb2312|gbk|gb18030|big5(?:-hkscs)?|shift_jis|euc-(?:jp|kr)|iso-2022-(?:jp|kr)"
    r"|macintosh|tis-620|ks_c_5601-1987)\Z",
    re.IGNORECASE,
)
_ENCODED_WORD = re.compile(r"=\?([!-<>@-~]{1,40})\?([bq])\?([!->@-~ ]{0,2000})\?=", re.IGNORECASE)
_BETWEEN_WORDS = re.compile(r"(\?=)[ \t]+(?==\?)")
# What would move the cursor, hide text or turn its direction round (UAX 9) is shown as an escape.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
)
_NO_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")

_TAG = re.compile(r"<(/?)([a-z][a-z0-9]{0,15})\b([^<>]*)>|<[!?/a-z][^<>]*>", re.IGNORECASE)
_HREF = re.compile(r"\bhref[ \t]*=[ \t]*[\"']?([^\"'\s>]{1,500})", re.IGNORECASE)
_BLOCKS = frozenset(
    {"address", "article", "blockquote", "br", "dd", "div", "dl", "dt", "footer", "form", "h1"}
    | {"h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "ol", "p", "pre", "section", "table"}
    | {"tr", "ul"}
)
_SILENT = ("script", "style", "title", "template")
# A character's number that none has, and that no number may be made of.
_ENDLESS_NUMBER = re.compile(r"&#[0-9]{20,};?")
_SPACES = re.compile(r"[ \t\r\f\v\xa0]+")
_EMPTY_LINES = re.compile(r"\n(?: ?\n){2,}")


def decode_transfer(octets: bytes, encoding: str, *, most: int) -> bytes:
    """The octets behind a Content-Transfer-Encoding (RFC 2045 §6), at most `most` of them."""
    if encoding == "base64":
        return _from_base64(octets[: most * 2])[:most]
    if encoding == "quoted-printable":
        return quopri.decodestring(octets[: most * 3])[:most]
    return octets[:most]


def _from_base64(octets: bytes) -> bytes:
    """As much as there are whole groups of."""
    plain = _NO_BASE64.sub(b"", octets)
    try:
        return base64.b64decode(plain[: len(plain) // 4 * 4] + _padded(plain))
    except binascii.Error:
        return octets


def _padded(plain: bytes) -> bytes:
    rest = plain[len(plain) // 4 * 4 :]
    return rest + b"=" * (4 - len(rest)) if len(rest) > 1 else b""


def decode_charset(octets: bytes, charset: str) -> str:
    """The text in a character set that mail uses; of any other one, UTF-8 with escapes."""
    if _CHARSETS.match(charset):
        try:
            return octets.decode(charset, "replace")
        except LookupError:
            pass
    return escape_octets(octets)


def escape_octets(octets: bytes) -> str:
    """UTF-8 where it is that, and each other octet as \\x and two digits."""
    return octets.decode("utf-8", "backslashreplace")


def decode_words(text: str) -> str:
    """A header's value with its encoded words (RFC 2047) read."""
    return _ENCODED_WORD.sub(_decode_word, _BETWEEN_WORDS.sub(r"\1", text))


def _decode_word(word: re.Match[str]) -> str:
    charset, kind, coded = word.groups()
    octets = coded.encode("ascii", "replace")
    if kind in "bB":
        plain = _from_base64(octets)
    else:
        plain = quopri.decodestring(octets.replace(b"_", b"=20"))
    return decode_charset(plain, charset.partition("*")[0])


def show(text: str) -> str:
    """Text in which nothing hides: line ends are LF, other control characters are escapes."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return _UNSEEN.sub(lambda each: f"\\u{ord(each[0]):04x}", lines)


def html_to_text(source: str) -> str:
    """What stands in HTML, with each link's address behind it; nothing is rendered or fetched."""
    for name in _SILENT:
        source = _without(source, f"<{name}", f"</{name}")
    text = _TAG.sub(_instead_of, _without(source, "<!--", "--"))
    lines = _SPACES.sub(" ", html.unescape(_ENDLESS_NUMBER.sub("\ufffd", text)))
    return _EMPTY_LINES.sub("\n\n", lines).strip()


def _without(source: str, opening: str, closing: str) -> str:
    """The source without what stands from each opening to its closing, or to the end."""
    lowered, kept, position = source.lower(), [], 0
    while (start := lowered.find(opening, position)) >= 0:
        kept.append(source[position:start])
        position = lowered.find(closing, start + len(opening))
        if position < 0:
            return "".join(kept)
        position = lowered.find(">", position) + 1 or len(source)
    return "".join([*kept, source[position:]])


def _instead_of(tag: re.Match[str]) -> str:
    is_end, name, rest = tag[1], (tag[2] or "").lower(), tag[3] or ""
    if name == "a" and not is_end and (target := _HREF.search(rest)):
        return f"[{target[1]}] "
    return "\n" if name in _BLOCKS else ""
