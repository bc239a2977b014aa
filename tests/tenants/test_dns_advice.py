"""What is advised beyond a record itself: SPF through its includes, the file of MTA-STS."""

from dataclasses import dataclass, field

import pytest

from tenants.dns import (
    Expected,
    Kind,
    NameServer,
    Outcome,
    PolicyAnswer,
    ServerAnswer,
    State,
    expected_records,
    judge,
    observe,
    policy_file,
)
from tenants.dns.mta_sts import Policy, PolicyError, judge_policy, parse_policy
from tenants.dns.spf_cost import MOST_COUNTED, count_cost, judge_cost
from tests.tenants.memory_resolver import MemoryResolver

PRESENT, ABSENT, WRONG, UNKNOWN = State
HOSTS = ["mx1.panel.test", "mx2.panel.test"]
EXPECTED = {
    each.kind: each
    for each in expected_records("example.com", token="t", mx_hosts=HOSTS, spf_include="")
}
STS, RPT = EXPECTED[Kind.MTA_STS], EXPECTED[Kind.TLS_RPT]
SERVER = NameServer("resolver")


@dataclass
class Zone:
    """Answers out of a dictionary; names below fail.test cannot be asked."""

    records: dict[str, list[str]]
    asked: list[str] = field(default_factory=list)

    def __call__(self, name: str, rdtype: str) -> ServerAnswer:
        self.asked.append(f"{name} {rdtype}")
        if name.endswith("fail.test"):
            return ServerAnswer(SERVER, Outcome.FAILED, reason="no answer")
        found = self.records.get(f"{name} {rdtype}")
        outcome = Outcome.FOUND if found else Outcome.ABSENT
        return ServerAnswer(SERVER, outcome, tuple(found or ()))


ZONE = {
    "one.test TXT": ["v=spf1 ip4:192.0.2.1 -all", "noise"],
    "two.test TXT": ["v=spf1 include:one.test a:host.test -all"],
    "host.test A": ["192.0.2.2"],
    "six.test AAAA": ["2001:db8::1"],
    "mail.test MX": ["10 host.test."],
    "many.test TXT": ["v=spf1 " + " ".join(["a:host.test"] * 10) + " -all"],
    "round.test TXT": ["v=spf1 include:round.test -all"],
    "double.test TXT": ["v=spf1 -all", "v=spf1 +all"],
    "none.test TXT": ["noise"],
}
COSTS = [
    # RFC 7208 section, record, look-ups, void look-ups, the term that breaks it
    ("4.6.4", "v=spf1 ip4:192.0.2.1 ip6:2001:db8::/32 -all", 0, 0, ""),
    ("4.6.4", "v=spf1 include:one.test -all", 1, 0, ""),
    ("4.6.4", "v=spf1 include:two.test -all", 3, 0, ""),
    ("4.6.4", "v=spf1 +include:two.test ?a:host.test ~mx:mail.test -all", 5, 0, ""),
    ("4.6.4", "v=spf1 include:many.test -all", 11, 0, ""),
    ("4.6.4", "v=spf1 a:six.test -all", 1, 0, ""),
    ("4.6.4", "v=spf1 a:host.test/24 mx:mail.test//64 -all", 2, 0, ""),
    ("4.6.4 void", "v=spf1 a:gone.test mx:gone.test exists:gone.test -all", 3, 3, ""),
    ("4.6.4 self", "v=spf1 a mx -all", 2, 2, ""),
    ("5.2", "v=spf1 include:gone.test -all", 1, 1, "include:gone.test"),
    ("5.2", "v=spf1 include:none.test -all", 1, 0, "include:none.test"),
    ("4.5", "v=spf1 include:double.test -all", 1, 0, "include:double.test"),
    ("5.1", "v=spf1 -all include:gone.test a:gone.test", 0, 0, ""),
    ("5.5", "v=spf1 ptr -all", 1, 0, ""),
    ("6.1", "v=spf1 redirect=two.test", 3, 0, ""),
    ("6.1", "v=spf1 ~all redirect=gone.test", 0, 0, ""),
    ("6.1", "v=spf1 redirect=gone.test ~all", 0, 0, ""),
    ("7", "v=spf1 exists:%{i}.spf.test include:%{d}.test -all", 2, 0, ""),
    ("loop", "v=spf1 include:round.test -all", MOST_COUNTED, 0, ""),
]


@pytest.mark.parametrize(
    ("section", "record", "lookups", "voids", "broken"), COSTS, ids=[row[1] for row in COSTS]
)
def test_lookups_of_spf_are_counted(section, record, lookups, voids, broken):
    cost = count_cost("example.com", record, Zone(ZONE))

    assert (cost.lookups, cost.voids, cost.broken) == (lookups, voids, broken), section


def test_what_cannot_be_asked_breaks_nothing():
    cost = count_cost("example.com", "v=spf1 include:x.fail.test a:y.fail.test -all", Zone(ZONE))

    assert (cost.lookups, cost.voids, cost.broken, cost.unknown) == (2, 0, "", True)
    assert cost.told.startswith("At least 2 of 10 look-ups")


def test_a_hostile_zone_is_not_asked_without_end():
    zone = Zone(
        {f"{n}.test TXT": [f"v=spf1 include:{n + 1}.test a:{n}.test -all"] for n in range(99)}
    )

    count_cost("example.com", "v=spf1 include:0.test -all", zone)

    assert len(zone.asked) <= 2 * MOST_COUNTED


def spf(record: str, **zone: list[str]) -> tuple[State, str, str]:
    finding = judge(EXPECTED[Kind.SPF], [ServerAnswer(SERVER, Outcome.FOUND, (record,), 60)])
    cost = count_cost("example.com", record, Zone(ZONE))
    judged = judge_cost(finding, cost)
    return judged.state, judged.advice, judged.note


@pytest.mark.parametrize(
    ("record", "state", "advice", "note"),
    [
        ("v=spf1 include:two.test -all", PRESENT, "", "3 of 10 look-ups, 0 of 2 that find"),
        ("v=spf1 include:many.test -all", WRONG, "Shorten the SPF record", "11 of 10"),
        ("v=spf1 include:gone.test -all", WRONG, "Take include:gone.test out", "1 of 10"),
        ("v=spf1 a mx exists:gone.test -all", PRESENT, "Take out what finds nothing", "3 of 2"),
        ("v=spf1 a:host.test +all", PRESENT, "Replace +all", "1 of 10"),
        ("v=spf1 rubbish", WRONG, 'Correct "rubbish"', "0 of 10"),
    ],
)
def test_the_cost_of_spf_is_told_and_judged(record, state, advice, note):
    found, advised, told = spf(record)

    assert found == state
    assert advice in advised
    assert bool(advised) == bool(advice)
    assert note in told


POLICIES = [
    # file, the policy or the mend
    (policy_file(HOSTS), Policy("testing", 604800, tuple(HOSTS))),
    ("version: STSv1\r\nmode: none\r\nmax_age: 86400\r\n", Policy("none", 86400)),
    (
        "version: STSv1\nmode: enforce\nmx: *.Panel.test\nmx: mx\nmax_age: 1\nx-more: y",
        Policy("enforce", 1, ("*.panel.test", "mx")),
    ),
    ("mode: enforce\nmax_age: 1\nmx: a\nversion: STSv1", Policy("enforce", 1, ("a",))),
    ("version: STSv1\nmode: enforce\nmode: none\nmx: a\nmax_age: 1", Policy("enforce", 1, ("a",))),
    ("", "version: STSv1"),
    ("version: STSv2\nmode: none\nmax_age: 1", "version: STSv1"),
    ("version: STSv1\nmax_age: 1", "mode: testing, enforce or none"),
    ("version: STSv1\nmode: on\nmax_age: 1", "mode: testing, enforce or none"),
    ("version: STSv1\nmode: enforce\nmax_age: 1", "Name the MX hosts"),
    ("version: STSv1\nmode: none", "max_age: 604800"),
    ("version: STSv1\nmode: none\nmax_age: 31557601", "max_age: 604800"),
    ("version: STSv1\nmode: none\nmax_age: ²", "max_age: 604800"),
    ("<html>\nversion: STSv1", "Correct the line “<html>”"),
]


@pytest.mark.parametrize(("text", "result"), POLICIES, ids=[row[0][:50] for row in POLICIES])
def test_policy_files_are_read_or_the_mend_is_told(text, result):
    if isinstance(result, Policy):
        assert parse_policy(text) == result
        return
    with pytest.raises(PolicyError, match=result.replace("*", r"\*")):
        parse_policy(text)


@pytest.mark.parametrize(
    ("pattern", "host", "is_covered"),
    [
        ("mx.panel.test", "mx.panel.test", True),
        ("mx.panel.test", "mx2.panel.test", False),
        ("*.panel.test", "mx.panel.test", True),
        ("*.panel.test", "a.b.panel.test", False),
        ("*.panel.test", "panel.test", False),
    ],
)
def test_a_wildcard_of_a_policy_stands_for_one_label(pattern, host, is_covered):
    assert Policy("enforce", 1, (pattern,)).covers(host) is is_covered


def record(expected: Expected, *values: str):
    return judge(expected, [ServerAnswer(SERVER, Outcome.FOUND, values, 60)])


def policy(mode: str, *hosts: str, age: int = 604800) -> PolicyAnswer:
    lines = ["version: STSv1", f"mode: {mode}", *(f"mx: {host}" for host in hosts)]
    return PolicyAnswer(Outcome.FOUND, "\n".join([*lines, f"max_age: {age}"]))


ABSENT_FILE = PolicyAnswer(Outcome.ABSENT, reason="status 404")
FAILED_FILE = PolicyAnswer(Outcome.FAILED, reason="no answer in time")
FILES = [
    (policy("enforce", *HOSTS), PRESENT, ""),
    (policy("enforce", "*.panel.test"), PRESENT, ""),
    (policy("testing", *HOSTS), PRESENT, "Go on to mode: enforce"),
    (policy("none"), PRESENT, "Go on to mode: testing"),
    (policy("enforce", HOSTS[0]), WRONG, "Add mx: mx2.panel.test to the policy file"),
    (policy("testing", "old.test"), WRONG, "would refuse"),
    (policy("enforce", *HOSTS, "old.test"), PRESENT, "Take mx: old.test out"),
    (policy("enforce", *HOSTS, age=3600), PRESENT, "Raise max_age"),
    (PolicyAnswer(Outcome.FOUND, "rubbish"), WRONG, "Correct the line"),
    (ABSENT_FILE, WRONG, "https://mta-sts.example.com/.well-known/mta-sts.txt: status 404"),
    (FAILED_FILE, UNKNOWN, "could not be fetched: no answer in time"),
]


@pytest.mark.parametrize(
    ("answer", "state", "advice"), FILES, ids=[str(row[0])[:70] for row in FILES]
)
def test_the_policy_file_decides_what_mta_sts_is_worth(answer, state, advice):
    finding = judge_policy(record(STS, *STS.values), answer)

    assert finding.state == state
    assert advice in finding.advice
    assert bool(finding.advice) == bool(advice)


def test_the_id_changes_with_the_policy():
    others = expected_records("example.com", token="t", mx_hosts=["x.test"], spf_include="")

    assert others[-2].kind is Kind.MTA_STS
    assert others[-2].values != STS.values


@dataclass
class OneFile:
    """Fetches this answer, and notes for whom."""

    answer: PolicyAnswer
    domains: list[str] = field(default_factory=list)

    def fetch(self, domain, lookup):
        self.domains.append(domain)
        return self.answer


@pytest.mark.parametrize(("is_published", "asked"), [(True, ["example.com"]), (False, [])])
def test_the_policy_file_is_fetched_where_a_record_says_so(is_published, asked):
    files = OneFile(ABSENT_FILE)
    resolver = MemoryResolver.publishing(*([STS] if is_published else []))

    [finding] = observe([STS], resolver, files)

    assert files.domains == asked
    assert finding.state == (WRONG if is_published else ABSENT)


def test_control_characters_of_a_policy_file_are_not_repeated():
    said = judge_policy(
        record(STS, "v=STSv1; id=1"), PolicyAnswer(Outcome.FOUND, "version: STSv1\nb\0d line\n")
    )
    assert "b\ufffdd line" in said.advice
    hosts = policy("testing", *HOSTS, "b\0\x1bd.test")
    assert judge_policy(record(STS, "v=STSv1; id=1"), hosts).note.isprintable()


def test_whatever_breaks_off_the_check_of_one_record_leaves_the_others():
    resolver = MemoryResolver.publishing(*EXPECTED.values())
    resolver.breaks_on = {EXPECTED[Kind.DMARC].name: TypeError("odd answer")}
    resolver.records[f"mta-sts.{STS.name.removeprefix('_mta-sts.')}", "A"] = ("192.0.2.1",)

    class Odd:
        def fetch(self, domain, lookup):
            raise KeyError(domain)

    found = {each.kind: each for each in observe(list(EXPECTED.values()), resolver, Odd())}

    assert {kind for kind, each in found.items() if each.state is not PRESENT} == {
        Kind.DMARC,
        Kind.MTA_STS,
    }
    assert {found[kind].state for kind in (Kind.DMARC, Kind.MTA_STS)} == {UNKNOWN}
    assert "log" in found[Kind.DMARC].advice


def test_a_check_counts_the_lookups_of_spf_through_its_includes():
    expected = EXPECTED[Kind.SPF]
    resolver = MemoryResolver(
        {
            ("example.com", "TXT"): ("v=spf1 include:two.test ~all",),
            ("two.test", "TXT"): ("v=spf1 include:gone.test -all",),
        }
    )

    [finding] = observe([expected], resolver)

    assert finding.state is WRONG
    assert finding.note == "2 of 10 look-ups, 1 of 2 that find nothing."
