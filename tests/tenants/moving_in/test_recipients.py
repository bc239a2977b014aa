"""Recipients out of lists and logs, and the controls beside them."""

import pytest

from tenants.moving_in.recipients import controls, counted, named_by, parse_lines
from tests.tenants.moving_in.test_postfix import inventory

LOG = """\
Jun  1 12:00:00 mx postfix/smtpd[1]: NOQUEUE: reject: RCPT from h[192.0.2.1]: 550 5.1.1 \
<Nobody@a.example>: Recipient address rejected: User unknown; from=<x@y.example> \
to=<Nobody@a.example> proto=ESMTP helo=<h>
2026-06-01T12:00:00 mx postfix/lmtp[2]: 4ABC: to=<jo@a.example>, relay=store[private/lmtp], \
delay=0.1, dsn=2.0.0, status=sent (250 Ok)
Jun  1 12:00:00 mx postfix/smtp[3]: 4ABD: to=<x@else.example>, orig_to=<team@a.example>, \
relay=mx.else.example[192.0.2.2]:25, status=sent (250 Ok)
Jun  1 12:00:00 mx postfix/qmgr[4]: 4ABC: from=<x@y.example>, size=1, nrcpt=1 (active)
Jun  1 12:00:00 mx postfix/lmtp[2]: 4ABE: to=<jo@a.example>, relay=store, status=sent (ok)
Jun  1 12:00:00 mx postfix/smtpd[1]: NOQUEUE: reject: RCPT from h: to=<not an address>
""".splitlines()
LIST = ["# a list", "", "Jo@a.example", "<ann@a.example>", "  team@a.example ,", "no address"]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (LOG, {"jo@a.example": 2, "nobody@a.example": 1, "team@a.example": 1}),
        (LIST, {"ann@a.example": 1, "jo@a.example": 1, "team@a.example": 1}),
        ([], {}),
    ],
)
def test_parse_lines_finds_whom_senders_named(lines: list[str], expected: dict[str, int]) -> None:
    assert counted(parse_lines(lines)) == expected


def test_named_by_holds_the_addresses_at_alias_domains_too() -> None:
    named = named_by(inventory())
    assert {"team@a.example", "team@b.example", "jo@m.example", "gone@a.example"} <= named


def test_controls_ask_about_nobody_on_each_domain() -> None:
    asked = {key.rpartition("@")[2] for key in controls(inventory()) if key.startswith("nobody-")}
    assert asked == inventory().domains.keys() | inventory().alias_domains.keys()
