"""What to publish, and what records are worth: tables, one line a case."""

import pytest

from tenants.dns import (
    Expected,
    Finding,
    Hints,
    Kind,
    NameServer,
    Outcome,
    ServerAnswer,
    State,
    expected_records,
    judge,
)
from tenants.dns.expected import quote_txt

KEY = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A" * 12
ED_KEY = "A" * 43 + "="
TOKEN = "mailrouting-verification=t0ken"
EXPECTED = expected_records(
    "Example.COM.",
    token="t0ken",
    mx_hosts=["mx1.panel.test", "MX2.panel.test."],
    spf_include="spf.panel.test",
    dkim=[("s1", KEY), ("s2", ED_KEY)],
)
OWNERSHIP, MX, SPF, DKIM, ED_DKIM, DMARC, MTA_STS, TLS_RPT = EXPECTED
ANY_SPF = expected_records("example.com", token="t", mx_hosts=["mx.test"], spf_include="")[2]

PRESENT, ABSENT, WRONG, UNKNOWN = State
RUA = "rua=mailto:a@b.test"


def found(*records: str, server: str = "ns1.test") -> ServerAnswer:
    return ServerAnswer(NameServer(server), Outcome.FOUND, records, 60, "192.0.2.1")


def absent(server: str = "ns1.test") -> ServerAnswer:
    return ServerAnswer(NameServer(server), Outcome.ABSENT, reason="NXDOMAIN")


def failed(server: str = "ns1.test") -> ServerAnswer:
    return ServerAnswer(NameServer(server), Outcome.FAILED, reason="no answer")


def check(expected: Expected, *records: str) -> Finding:
    return judge(expected, [found(*records)])


PUBLISHED = [
    (OWNERSHIP, "_mailrouting.example.com", "TXT", (TOKEN,)),
    (MX, "example.com", "MX", ("10 mx1.panel.test.", "20 mx2.panel.test.")),
    (SPF, "example.com", "TXT", ("v=spf1 include:spf.panel.test ~all",)),
    (ANY_SPF, "example.com", "TXT", ("v=spf1 mx ~all",)),
    (DKIM, "s1._domainkey.example.com", "TXT", (f"v=DKIM1; k=rsa; p={KEY}",)),
    (ED_DKIM, "s2._domainkey.example.com", "TXT", (f"v=DKIM1; k=ed25519; p={ED_KEY}",)),
    (DMARC, "_dmarc.example.com", "TXT", ("v=DMARC1; p=none; rua=mailto:postmaster@example.com",)),
    (MTA_STS, "_mta-sts.example.com", "TXT", ("v=STSv1; id=638ee815df2ef48c",)),
    (TLS_RPT, "_smtp._tls.example.com", "TXT", ("v=TLSRPTv1; rua=mailto:postmaster@example.com",)),
]


@pytest.mark.parametrize(("expected", "name", "rdtype", "values"), PUBLISHED)
def test_expected_record_is_made_of_domain_and_settings(expected, name, rdtype, values):
    assert (expected.name, expected.rdtype, expected.values) == (name, rdtype, values)
    assert expected.rule


@pytest.mark.parametrize("expected", [*EXPECTED, ANY_SPF], ids=lambda e: e.kind)
def test_what_is_to_be_published_is_judged_present_with_no_advice_but_dmarcs_next_step(expected):
    finding = check(expected, *expected.values)

    assert finding.state is PRESENT
    assert bool(finding.advice) is (expected is DMARC)
    assert finding.found == expected.values


def test_without_keys_nothing_is_expected_of_dkim():
    records = expected_records("example.com", token="t", mx_hosts=["mx.test"], spf_include="")

    kinds = [item.kind for item in records]
    assert kinds == [kind for kind in Kind if kind is not Kind.DKIM]


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("a b", '"a b"'),
        ("", '""'),
        ('say "a\\b"', r'"say \"a\\b\""'),
        ("x" * 256, '"' + "x" * 255 + '" "x"'),
    ],
    ids=["plain", "empty", "quotes", "long"],
)
def test_txt_value_is_quoted_and_split_for_a_zone_file(value, line):
    assert quote_txt(value) == line


def test_zone_lines_end_names_with_a_dot():
    assert MX.zone_lines[0] == "example.com. IN MX 10 mx1.panel.test."
    assert OWNERSHIP.zone_lines == (f'_mailrouting.example.com. IN TXT "{TOKEN}"',)
    assert MX.value == "10 mx1.panel.test.\n20 mx2.panel.test."


DKIM_VALUE = DKIM.values[0]
TERMS = " ".join(f"a:h{n}.test" for n in range(10))
JUDGED = [
    # records of the server, state, words of the advice
    (OWNERSHIP, [TOKEN, "google-site-verification=x"], PRESENT, ""),
    (OWNERSHIP, [TOKEN, "mailrouting-verification=old"], PRESENT, ""),
    (OWNERSHIP, [f'"{TOKEN}"'], PRESENT, ""),
    (OWNERSHIP, [f" {TOKEN} "], PRESENT, ""),
    (OWNERSHIP, [TOKEN.upper()], ABSENT, "Publish the TXT record at _mailrouting.example.com"),
    (OWNERSHIP, ["mailrouting-verification=other"], WRONG, "another token"),
    (OWNERSHIP, [TOKEN + "x"], WRONG, "another token"),
    (OWNERSHIP, ["v=spf1 -all"], ABSENT, "Publish the TXT record"),
    (MX, ["5 MX1.Panel.Test."], PRESENT, "Add an MX record for mx2.panel.test"),
    (MX, ["10 mx2.panel.test", "10 mx1.panel.test."], PRESENT, ""),
    (MX, ["0 ."], WRONG, "null MX"),
    (MX, ["0 .", "10 mx1.panel.test."], WRONG, "null MX"),
    (MX, ["10 192.0.2.7."], WRONG, "Replace 192.0.2.7 by a host name"),
    (MX, ["10 2001:db8::7."], WRONG, "Replace 2001:db8::7 by a host name"),
    (MX, ["10 mx1.panel.test.example.com."], WRONG, "End the host name with a dot"),
    (MX, ["10 mx1.panel.test.", "50 mx.old.test."], WRONG, "Take out the MX records of mx.old"),
    (MX, ["10 mx.old.test."], WRONG, "Point MX to mx1.panel.test, mx2.panel.test instead of"),
    (MX, ["10 notmx1.panel.test."], WRONG, "Point MX to"),
    (SPF, ["v=spf1 a include:SPF.panel.test. -all"], PRESENT, ""),
    (SPF, ["V=SPF1  +Include:spf.panel.test  ~ALL ", "other"], PRESENT, ""),
    (SPF, ["v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 redirect=spf.panel.test"], PRESENT, ""),
    (SPF, ["v=spf1 redirect=spf.panel.test ~all"], WRONG, "Put include:spf.panel.test"),
    (SPF, ["v=spf1 -all include:spf.panel.test"], WRONG, "Put include:spf.panel.test"),
    (SPF, ["v=spf1 -include:spf.panel.test ~all"], WRONG, "Put include:spf.panel.test"),
    (SPF, ["v=spf1 include=spf.panel.test ~all"], WRONG, "Put include:spf.panel.test"),
    (SPF, ["v=spf1 include:x.spf.panel.test ~all"], WRONG, "Put include:spf.panel.test"),
    (SPF, ["v=spf1"], WRONG, "Put include:spf.panel.test"),
    (SPF, [SPF.values[0], "v=spf1 -all"], WRONG, "Merge the 2 SPF records"),
    (SPF, ["v=spf10 -all"], ABSENT, "Publish the TXT record at example.com"),
    (SPF, ["spf2.0/pra", "x=y"], ABSENT, ""),
    (SPF, ["v=spf1 include:spf.panel.test +all"], PRESENT, "Replace +all"),
    (SPF, [f"v=spf1 include:spf.panel.test {TERMS} ~all"], PRESENT, "11 terms"),
    (SPF, [f"v=spf1 include:spf.panel.test {TERMS[:-11]} ~all"], PRESENT, ""),
    (ANY_SPF, [f"v=spf1 {TERMS} redirect=spf.panel.test"], PRESENT, "11 terms"),
    (ANY_SPF, ["v=spf1"], PRESENT, ""),
    (ANY_SPF, ["v=spf1 a/24 mx:h.test//64 a:h.test/24//64 ptr exists:%{i}.x.test"], PRESENT, ""),
    (ANY_SPF, ["v=spf1 x-own=1 exp=e.test -all"], PRESENT, ""),
    (ANY_SPF, ["v=spf1 includes:a.test -all"], WRONG, 'Correct "includes:a.test"'),
    (ANY_SPF, ["v=spf1 ip4:192.0.2.300 -all"], WRONG, 'Correct "ip4:192.0.2.300"'),
    (ANY_SPF, ["v=spf1 ip6:192.0.2.3 -all"], WRONG, 'Correct "ip6:192.0.2.3"'),
    (ANY_SPF, ["v=spf1 include: -all"], WRONG, 'Correct "include:"'),
    (ANY_SPF, ["v=spf1 redirect=a.test redirect=b.test"], WRONG, 'Correct "redirect=b.test"'),
    (DKIM, [f"p={KEY}"], PRESENT, ""),
    (DKIM, [f"v=DKIM1; p={KEY[:50]} {KEY[50:]}; ", "noise", "v=DMARC1; p=none"], PRESENT, ""),
    (DKIM, [DKIM_VALUE + "; t=s:y"], PRESENT, "Take out t=y"),
    (DKIM, ["v=DKIM1; p="], WRONG, "Publish the key again"),
    (DKIM, [DKIM_VALUE, "v=DKIM1; p=x"], WRONG, "Keep one key record"),
    (DKIM, [f"v=DKIM1; k=ed25519; p={KEY}"], WRONG, "begins with v=DKIM1; k=rsa"),
    (DKIM, [f"DKIM v=DKIM1; p={KEY}"], WRONG, "begins with v=DKIM1; k=rsa"),
    (DKIM, ["v=DKIM1; p=" + KEY[:-1]], WRONG, "Replace the key"),
    (DKIM, ["v=spf1 -all"], ABSENT, "Publish the TXT record at s1._domainkey.example.com"),
    (ED_DKIM, [f"v=DKIM1; p={ED_KEY}"], WRONG, "k=ed25519"),
    (DMARC, [f"v=DMARC1;p=reject;{RUA};sp=reject;t=n;psd=u", "noise"], PRESENT, ""),
    (DMARC, [f"v=DMARC1;p=reject;{RUA};sp=none"], PRESENT, "Take out sp=none: subdomains"),
    (DMARC, [f"v=DMARC1;p=reject;{RUA};np=quarantine"], PRESENT, "Take out np=quarantine"),
    (DMARC, [f"v=DMARC1;p=reject;{RUA};t=y"], PRESENT, "Take out t=y"),
    (DMARC, ["v=DMARC1;p=reject"], PRESENT, "Add rua=mailto:"),
    (DMARC, [f"v=DMARC1;p=quarantine;{RUA}"], PRESENT, "Go on to p=reject"),
    (DMARC, [f"v=DMARC1;p=none;{RUA}"], PRESENT, "Go on to p=quarantine"),
    (DMARC, ["v=DMARC1;p=none"], PRESENT, "learns what fails. Go on to p=quarantine"),
    (DMARC, ["v = DMARC1 ; rua=mailto:a@b.test; P=Reject"], PRESENT, ""),
    (DMARC, ["v=DMARC1; p=none; pct=50; ri=1"], PRESENT, "Take pct, ri out"),
    (DMARC, ["v=DMARC1; p=none; sp=bin"], PRESENT, "Correct sp="),
    (DMARC, ["v=DMARC1; p=none; t=1"], PRESENT, "Correct t= in the DMARC record (y, n)"),
    (DMARC, [f"v=DMARC1; p=reject; rubbish; {RUA}"], PRESENT, ""),
    (DMARC, ["v=DMARC1; rua=mailto:a@b.test"], WRONG, "Add p=none, p=quarantine or p=reject"),
    (DMARC, ["v=DMARC1"], WRONG, "Add p=none"),
    (DMARC, ["v=DMARC1; p=monitor"], WRONG, "Add p=none"),
    (DMARC, ["v=DMARC1; p=none", "v=DMARC1; p=reject"], WRONG, "Keep one DMARC record"),
    (DMARC, ["v=dmarc1; p=none"], ABSENT, "Publish the TXT record at _dmarc.example.com"),
    (DMARC, ["p=none; v=DMARC1"], ABSENT, ""),
    (DMARC, ["v=DMARC10; p=none"], ABSENT, ""),
    (MTA_STS, ["v=STSv1; id=20260101;", "noise"], PRESENT, ""),
    (MTA_STS, ["v=STSv1;id=a;x=y"], PRESENT, ""),
    (MTA_STS, ["v=STSv1"], WRONG, "Add an id"),
    (MTA_STS, ["v=STSv1; id=2026-01-01"], WRONG, "Add an id"),
    (MTA_STS, ["v=STSv1; id=1", "v=STSv1; id=2"], WRONG, "Keep one MTA-STS record"),
    (MTA_STS, ["v=STSv10; id=1"], ABSENT, ""),
    (TLS_RPT, ["v=TLSRPTv1; rua=mailto:a@b.test,https://c.test/d", "noise"], PRESENT, ""),
    (TLS_RPT, ["v=TLSRPTv1"], WRONG, "Add rua=mailto:"),
    (TLS_RPT, ["v=TLSRPTv1; rua=http://c.test"], WRONG, "Add rua=mailto:"),
    (TLS_RPT, ["v=TLSRPTv1;rua=mailto:a@b.c", "v=TLSRPTv1;rua=mailto:d@e.f"], WRONG, "Keep one"),
    (TLS_RPT, ["v=spf1 -all"], ABSENT, ""),
]


@pytest.mark.parametrize(
    ("expected", "records", "state", "advice"),
    JUDGED,
    ids=[f"{e.kind}:{records[0][:40]}" for e, records, _, _ in JUDGED],
)
def test_records_of_one_server_are_judged(expected, records, state, advice):
    finding = check(expected, *records)

    assert finding.state == state, finding
    assert advice in finding.advice
    assert bool(finding.advice) == bool(advice) or state is ABSENT


def many(*letters: str) -> list[ServerAnswer]:
    """Answers of ns1, ns2 … for the ownership record: p, a, w(rong), n(oise), f(ailed)."""
    makers = {
        "p": lambda host: found(TOKEN, server=host),
        "w": lambda host: found("mailrouting-verification=other", server=host),
        "n": lambda host: found("noise", server=host),
        "a": absent,
        "f": failed,
    }
    return [makers[letter](f"ns{n}") for n, letter in enumerate(letters, start=1)]


@pytest.mark.parametrize(
    ("servers", "state", "advice"),
    [
        ("", UNKNOWN, "no name servers"),
        ("f", UNKNOWN, "ns1 (no answer)"),
        ("ff", UNKNOWN, "ns2 (no answer)"),
        ("pp", PRESENT, ""),
        ("pf", PRESENT, "ns2 (no answer)"),
        ("pfff", PRESENT, "ns2 (no answer)"),
        ("aa", ABSENT, "Publish"),
        ("an", ABSENT, "Publish"),
        ("af", UNKNOWN, "ns2 (no answer)"),
        ("aaaaf", UNKNOWN, "ns5 (no answer)"),
        ("nf", UNKNOWN, "ns2 (no answer)"),
        ("ww", WRONG, "another token"),
        ("wwf", WRONG, "another token"),
        ("wf", UNKNOWN, "ns2 (no answer)"),
        ("wff", UNKNOWN, "ns3 (no answer)"),
        ("pa", WRONG, "disagree: ns1 has the record as it should be and ns2 has not"),
        ("apw", WRONG, "disagree: ns2 has the record as it should be and ns1, ns3 has not"),
        ("pn", WRONG, "disagree"),
        ("paf", WRONG, "disagree"),
        ("paff", UNKNOWN, "ns3 (no answer)"),
        ("wa", WRONG, "another token"),
    ],
)
def test_answers_of_several_servers_are_weighed(servers, state, advice):
    finding = judge(OWNERSHIP, many(*servers))

    assert finding.state == state
    assert advice in finding.advice
    assert bool(finding.advice) == bool(advice)


def test_evidence_tells_what_each_server_said():
    first, second, third = judge(OWNERSHIP, many("p", "a", "f")).evidence

    assert first == {
        "server": "ns1",
        "address": "192.0.2.1",
        "outcome": "found",
        "values": [TOKEN],
        "ttl": 60,
        "reason": "",
        "alias": "",
        "state": "present",
    }
    assert (second["outcome"], second["values"], second["reason"]) == ("absent", [], "NXDOMAIN")
    assert (third["outcome"], third["reason"]) == ("failed", "no answer")


def test_evidence_of_a_huge_record_set_is_clipped():
    records = [f"{number} {'x' * 2000}" for number in range(100)]

    finding = judge(OWNERSHIP, [found(*records)])

    assert len(finding.evidence[0]["values"]) == len(finding.found) == 20
    assert max(map(len, finding.found)) == 1000


def test_same_value_of_two_servers_is_listed_once():
    assert judge(OWNERSHIP, many("p", "p")).found == (TOKEN,)


@pytest.mark.parametrize(
    ("expected", "answers", "hints", "advice"),
    [
        (
            OWNERSHIP,
            [absent()],
            Hints(misplaced_at="a.b.b"),
            "Rename the record: it stands at a.b.b",
        ),
        (OWNERSHIP, [failed()], Hints(trouble="No resolver answers."), "No resolver answers."),
        (
            MX,
            [found("10 m.x.test.")],
            Hints(aliases=(("m.x.test", "mx1.panel.test"),)),
            "Name mx1.panel.test",
        ),
        (MX, [found("10 m.x.test.")], Hints(aliases=(("m.x.test", "else.test"),)), "Point MX to"),
    ],
    ids=["misplaced", "trouble", "alias of ours", "alias of others"],
)
def test_hints_word_the_advice_and_leave_the_state(expected, answers, hints, advice):
    finding = judge(expected, answers, hints)

    assert advice in finding.advice
    assert finding.state == judge(expected, answers).state
