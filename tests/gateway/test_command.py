"""Arguments of MAIL and RCPT: one line a case, the RFC's section as its id."""

import pytest

from gateway.routing import replies
from gateway.routing.address import Address
from gateway.smtpd.command import CommandError, Mail, parse_mail, parse_rcpt

A = Address.parse("ann@example.com")

MAIL = {
    "5321-4.1.1.2 plain": ("FROM:<ann@example.com>", Mail(A)),
    "5321-4.1.1.2 keyword in any case": ("from:<ann@example.com>", Mail(A)),
    "5321-4.5.5 null sender": ("FROM:<>", Mail(None)),
    "5321-3.3 space after the colon is let pass": ("FROM: <ann@example.com>", Mail(A)),
    "1870-6.1 size": ("FROM:<ann@example.com> SIZE=1000", Mail(A, 1000)),
    "1870-6.1 size 0 is unknown": ("FROM:<ann@example.com> SIZE=0", Mail(A)),
    "6152-2 8-bit body": ("FROM:<ann@example.com> BODY=8BITMIME", Mail(A)),
    "6531-3.4 SMTPUTF8": ("FROM:<ann@example.com> SMTPUTF8", Mail(A, smtputf8=True)),
    "5321-4.1.1.3 source route is read over": (
        "FROM:<@a.example,@b.example:ann@example.com>",
        Mail(A),
    ),
}
BAD_MAIL = {
    "5321-4.1.1.2 no keyword": ("<ann@example.com>", replies.MAIL_SYNTAX),
    "5321-4.1.2 no brackets": ("FROM:ann@example.com", replies.MAIL_SYNTAX),
    "5321-4.1.2 comment inside": ("FROM:<ann(x)@example.com>", replies.BAD_SENDER_SYNTAX),
    "5321-4.1.2 comment before": ("FROM:(x)<ann@example.com>", replies.MAIL_SYNTAX),
    "5321-4.1.2 brackets twice": ("FROM:<<ann@example.com>>", replies.MAIL_SYNTAX),
    "5321-4.1.2 space inside": ("FROM:<a b@example.com>", replies.MAIL_SYNTAX),
    "5321-4.1.2 leading dot": ("FROM:<.a@example.com>", replies.BAD_SENDER_SYNTAX),
    "5321-4.1.2 trailing dot": ("FROM:<a.@example.com>", replies.BAD_SENDER_SYNTAX),
    "5321-4.1.2 empty local part": ("FROM:<@example.com>", replies.BAD_SENDER_SYNTAX),
    "5321-4.1.2 empty domain": ("FROM:<a@>", replies.BAD_SENDER_SYNTAX),
    "5321-4.1.2 empty label": ("FROM:<a@b..example>", replies.BAD_SENDER_SYNTAX),
    "5321-4.1.2 underscore": ("FROM:<a@b_c.example>", replies.BAD_SENDER_SYNTAX),
    "5321-4.1.2 hyphen first": ("FROM:<a@-b.example>", replies.BAD_SENDER_SYNTAX),
    "5321-4.1.2 two at signs": ("FROM:<a@b@example.com>", replies.BAD_SENDER_SYNTAX),
    "5321-4.1.3 short literal": ("FROM:<a@[1.2.3]>", replies.BAD_SENDER_SYNTAX),
    "5321-4.1.3 literal without its tag": ("FROM:<a@[::1]>", replies.BAD_SENDER_SYNTAX),
    "5321-4.1.2 NUL": ("FROM:<a\0@example.com>", replies.BAD_SENDER_SYNTAX),
    "5321-4.1.2 no space before parameters": ("FROM:<>SIZE=1", replies.MAIL_SYNTAX),
    "5321-4.1.2 tab before parameters": ("FROM:<>\tSIZE=1", replies.MAIL_SYNTAX),
    "5321-4.1.2 other space between parameters": (
        "FROM:<> SIZE=1\u2003BODY=7BIT",
        replies.BAD_PARAMETER,
    ),
    "5321-4.1.2 control in a parameter": ("FROM:<> X\0=1", replies.BAD_PARAMETER),
    "6531-3.3 invalid UTF-8": ("FROM:<a\udcff@example.com> SMTPUTF8", replies.BAD_SENDER_SYNTAX),
    "6531-3.3 invalid UTF-8 domain": (
        "FROM:<a@\udcff.example> SMTPUTF8",
        replies.BAD_SENDER_SYNTAX,
    ),
    "3030-3 not offered": ("FROM:<a@example.com> BODY=BINARYMIME", replies.BAD_PARAMETER),
    "4954-5 not offered": ("FROM:<a@example.com> AUTH=<>", replies.UNKNOWN_PARAMETER),
    "1870-6.1 full-width digit": ("FROM:<a@example.com> SIZE=\uff11", replies.BAD_PARAMETER),
    "1870-6.1 without value": ("FROM:<a@example.com> SIZE", replies.BAD_PARAMETER),
    "5321-4.1.2 unclosed": ("FROM:<ann@example.com", replies.MAIL_SYNTAX),
    "5321-4.1.2 comment": ("FROM:<ann@example.com> (hello)", replies.BAD_PARAMETER),
    "5321-4.1.2 two dots": ("FROM:<a..b@example.com>", replies.BAD_SENDER_SYNTAX),
    "5321-4.5.3.1.1 long local part": (f"FROM:<{'a' * 65}@example.com>", replies.BAD_SENDER_SYNTAX),
    "5321-4.5.3.1.3 long path": (f"FROM:<a@{'b.' * 130}example>", replies.BAD_SENDER_SYNTAX),
    "1870-6.1 superscript digit": ("FROM:<ann@example.com> SIZE=²", replies.BAD_PARAMETER),
    "1870-6.1 negative": ("FROM:<ann@example.com> SIZE=-1", replies.BAD_PARAMETER),
    "1870-6.1 twice": ("FROM:<ann@example.com> SIZE=1 SIZE=2", replies.BAD_PARAMETER),
    "6152-2 other body": ("FROM:<ann@example.com> BODY=BINARY", replies.BAD_PARAMETER),
    "5321-4.1.1.11 unknown": ("FROM:<ann@example.com> FOO=1", replies.UNKNOWN_PARAMETER),
    "6531-3.4 UTF-8 without SMTPUTF8": ("FROM:<änn@example.com>", replies.NEEDS_SMTPUTF8),
    "6531-3.4 SMTPUTF8 takes no value": ("FROM:<a@example.com> SMTPUTF8=1", replies.BAD_PARAMETER),
}
BAD_RCPT = {
    "5321-4.1.1.3 null path": ("TO:<>", replies.BAD_ADDRESS_SYNTAX),
    "5321-4.1.2 no domain": ("TO:<joe>", replies.BAD_ADDRESS_SYNTAX),
    "5321-4.1.2 two at signs": ("TO:<a@b@example.com>", replies.BAD_ADDRESS_SYNTAX),
    "5321-4.1.2 no brackets": ("TO:joe@example.com", replies.RCPT_SYNTAX),
    "5321-4.1.1.3 parameter": ("TO:<joe@example.com> FOO=1", replies.UNKNOWN_PARAMETER),
    "6531-3.3 UTF-8 without SMTPUTF8": ("TO:<jö@example.com>", replies.NEEDS_SMTPUTF8),
    "6531-3.3 invalid UTF-8": ("TO:<j\udcff@example.com>", replies.BAD_ADDRESS_SYNTAX),
}


@pytest.mark.parametrize(("argument", "expected"), MAIL.values(), ids=MAIL.keys())
def test_mail_is_read(argument: str, expected: Mail):
    assert parse_mail(argument) == expected


@pytest.mark.parametrize(("argument", "reply"), BAD_MAIL.values(), ids=BAD_MAIL.keys())
def test_bad_mail_is_refused(argument: str, reply: replies.Reply):
    with pytest.raises(CommandError) as error:
        parse_mail(argument)
    assert error.value.reply == reply


@pytest.mark.parametrize(("argument", "reply"), BAD_RCPT.values(), ids=BAD_RCPT.keys())
def test_bad_rcpt_is_refused(argument: str, reply: replies.Reply):
    with pytest.raises(CommandError) as error:
        parse_rcpt(argument, smtputf8=False)
    assert error.value.reply == reply


def test_rcpt_keeps_what_was_typed():
    rcpt = parse_rcpt("TO:<Ann+News@EXAMPLE.com>", smtputf8=False)

    assert rcpt.text == "Ann+News@EXAMPLE.com"
    assert rcpt.recipient is not None
    assert rcpt.recipient.key == "ann+news@example.com"


@pytest.mark.parametrize("text", ["<postmaster>", "<Postmaster>", "<POSTMASTER>"])
def test_bare_postmaster_has_no_domain(text: str):
    assert parse_rcpt(f"TO:{text}", smtputf8=False).recipient is None


SPELLINGS = {
    "5321-4.1.2 quoted at sign": ('"a@foreign"@example.com', "a@foreign@example.com"),
    "5321-4.1.2 quoted where it need not be": ('"ann"@example.com', "ann@example.com"),
    "5321-4.1.2 empty quoted": ('""@example.com', "@example.com"),
    "5321-2.3.5 case": ("ANN@EXAMPLE.COM", "ann@example.com"),
    "1034-3.1 trailing dot": ("ann@example.com.", "ann@example.com"),
    "5321-4.1.3 address literal": ("ann@[192.0.2.1]", "ann@[192.0.2.1]"),
    "5321-4.1.3 IPv6 literal": ("ann@[IPv6:2001:DB8:0::1]", "ann@[ipv6:2001:db8::1]"),
    "5321-F.2 source route": ("@a.example:ann@example.com", "ann@example.com"),
    "percent hack is a local part": (
        "a%foreign.example@example.com",
        "a%foreign.example@example.com",
    ),
    "bang path is a local part": ("foreign.example!a@example.com", "foreign.example!a@example.com"),
    "5891-5 IDN": ("ann@b\u00fccher.example", "ann@xn--bcher-kva.example"),
}


@pytest.mark.parametrize(("typed", "key"), SPELLINGS.values(), ids=SPELLINGS.keys())
def test_spellings_of_an_address_have_its_key(typed: str, key: str):
    assert parse_rcpt(f"TO:<{typed}>", smtputf8=True).key == key


def test_quoted_local_part_may_hold_brackets_and_spaces():
    rcpt = parse_rcpt('TO:<"a> b"@example.com>', smtputf8=False)

    assert rcpt.recipient is not None
    assert rcpt.recipient.local_part == "a> b"
