"""Asking real DNS servers on loopback: each way to fail, and whole checks."""

import threading
import time

import pytest

from tenants.dns import (
    DnspythonResolver,
    Kind,
    LookupFailedError,
    NameServer,
    Outcome,
    State,
    expected_records,
    observe,
)
from tenants.dns.resolver import is_public, parse_endpoint
from tests.dns_server import DnsWorld, Fault, run_dns_world

pytestmark = pytest.mark.enable_socket

NAME = "_mailrouting.example.com"
TXT = f"{NAME} TXT"
TOKEN = "mailrouting-verification=t0ken"
FIRST, SECOND, THIRD = "127.0.0.2", "127.0.0.3", "127.0.0.4"
FOUND, ABSENT, FAILED = Outcome


@pytest.fixture(scope="module")
def running_world():
    with run_dns_world() as world:
        yield world


@pytest.fixture
def world(running_world) -> DnsWorld:
    running_world.clear()
    return running_world


def make_resolver(world: DnsWorld, **settings) -> DnspythonResolver:
    defaults = {"timeout_seconds": 0.05, "lifetime_seconds": 5, "allow_private_addresses": True}
    return DnspythonResolver(
        world.resolvers, authoritative_port=world.port, **(defaults | settings)
    )


def ask(world: DnsWorld, name: str = NAME, rdtype: str = "TXT", **settings):
    lookup = make_resolver(world, **settings).begin()
    return [lookup.query(server, name, rdtype) for server in lookup.delegation(name).servers]


def ask_first(world: DnsWorld, name: str = NAME, rdtype: str = "TXT", **settings):
    return ask(world, name, rdtype, **settings)[0]


# --- zone cuts ------------------------------------------------------------------


def test_zone_cut_is_found_above_a_name_that_does_not_exist(world):
    world.serve("example.com", {"example.com TXT": ["x"]})

    cut = make_resolver(world).begin().delegation("a.b.c.example.com")

    assert cut.zone == "example.com"
    assert cut.servers == (
        NameServer("2.ns.test", (FIRST,), "example.com"),
        NameServer("3.ns.test", (SECOND,), "example.com"),
    )


def test_name_delegated_further_has_a_zone_of_its_own(world):
    world.serve("example.com", {})
    world.serve(NAME, {TXT: [TOKEN]}, at=[THIRD])

    answers = ask(world)

    assert [(a.server.host, a.server.zone, a.records) for a in answers] == [
        ("4.ns.test", NAME, (TOKEN,))
    ]


def test_zone_cut_above_an_alias_is_the_one_of_its_own_name(world):
    world.serve("example.com", {f"{NAME} CNAME": ["x.other.test."]}, at=[FIRST])
    world.serve("other.test", {"x.other.test TXT": ["y"]}, at=[SECOND])

    assert make_resolver(world).begin().delegation(NAME).zone == "example.com"


@pytest.mark.parametrize("fault", [Fault.SERVFAIL, Fault.SILENT])
def test_zone_cut_that_the_resolver_cannot_tell_is_a_failure(world, fault):
    world.serve("example.com", {TXT: [TOKEN]})
    world.break_recursion("example.com", fault)

    with pytest.raises(LookupFailedError, match=NAME):
        make_resolver(world).begin().delegation(NAME)


def test_name_server_without_an_address_is_a_failed_answer(world):
    world.serve("example.com", {TXT: [TOKEN]}, at=[FIRST])
    world.name_servers["example.com"] = ["2.ns.test.", "nowhere.example.com."]

    answers = ask(world)

    assert [(answer.outcome, answer.reason) for answer in answers] == [
        (FOUND, ""),
        (FAILED, "it has no address"),
    ]


def test_name_server_whose_address_cannot_be_told_is_a_failed_answer(world):
    world.serve("example.com", {}, at=[FIRST])
    world.name_servers["example.com"] = ["2.ns.test.", "ns.broken.test."]
    world.serve("broken.test", {}, at=[SECOND])
    world.break_recursion("broken.test", Fault.SERVFAIL)

    answers = ask(world)

    assert [answer.outcome for answer in answers] == [ABSENT, FAILED]
    assert answers[1].reason.startswith("its address: the look-up of ns.broken.test A fails")


def test_name_server_with_ipv6_alone_is_asked_there(world):
    world.serve("example.com", {"ns6.example.com AAAA": ["2001:db8::1"]}, at=[FIRST])
    world.name_servers["example.com"] = ["ns6.example.com."]

    cut = make_resolver(world).begin().delegation(NAME)

    assert cut.servers[0].addresses == ("2001:db8::1",)


def test_unregistered_domain_is_denied_by_the_zone_above(world):
    world.serve("com", {}, at=[FIRST])

    answer = ask_first(world)

    assert (answer.outcome, answer.server.zone, answer.reason) == (ABSENT, "com", "NXDOMAIN")


# --- one server -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("records", "rdtype", "values"),
    [
        ({TXT: ["one", "two"]}, "TXT", ("one", "two")),
        ({TXT: [("mailrouting-", "verification=", "t0ken")]}, "TXT", (TOKEN,)),
        ({TXT: ["k" * 700]}, "TXT", ("k" * 700,)),
        ({TXT: ["nul\0 esc\x1b \xe9"]}, "TXT", ("nul\\000 esc\\027 \\233",)),
        ({TXT: [""]}, "TXT", ("",)),
        ({f"{NAME} MX": ["20 MX2.Test.", "10 mx1.test."]}, "MX", ("10 mx1.test.", "20 mx2.test.")),
        ({f"{NAME} MX": ["0 ."]}, "MX", ("0 .",)),
        ({"*.example.com TXT": ["wild"]}, "TXT", ("wild",)),
    ],
    ids=["several", "split", "long", "octets", "empty", "mx", "null mx", "wildcard"],
)
def test_records_are_found(world, records, rdtype, values):
    world.serve("example.com", records, at=[FIRST])

    answer = ask_first(world, rdtype=rdtype)

    assert (answer.outcome, answer.records) == (FOUND, values)
    assert (answer.ttl, answer.address, answer.reason) == (60, FIRST, "")


@pytest.mark.parametrize(
    ("records", "reason"),
    [({}, "NXDOMAIN"), ({f"{NAME} A": ["192.0.2.1"]}, "NOERROR"), ({f"x.{TXT}": ["y"]}, "NOERROR")],
    ids=["no such name", "other type", "empty non-terminal"],
)
def test_record_is_authoritatively_absent(world, records, reason):
    world.serve("example.com", records, at=[FIRST])

    answer = ask_first(world)

    assert (answer.outcome, answer.records, answer.reason) == (ABSENT, (), reason)


@pytest.mark.parametrize(
    ("fault", "outcome", "reason"),
    [
        (Fault.SERVFAIL, FAILED, "SERVFAIL"),
        (Fault.REFUSED, FAILED, "lame"),
        (Fault.BARE_SERVFAIL, FAILED, "SERVFAIL"),
        (Fault.BARE_REFUSED, FAILED, "lame"),
        (Fault.SILENT, FAILED, "no answer"),
        (Fault.TRUNCATED, FOUND, ""),
        (Fault.CUT, FAILED, "its answer is cut short, and TCP fails"),
        (Fault.NO_AUTHORITY, FAILED, "without authority"),
        (Fault.REFERRAL, FAILED, "passes the question on"),
        (Fault.NO_EDNS, FOUND, ""),
        (Fault.DENIES_AND_ANSWERS, FAILED, "contradicts itself"),
    ],
)
@pytest.mark.parametrize("records", [{TXT: [TOKEN]}, {}], ids=["published", "not published"])
def test_each_failure_is_told_from_absence(world, fault, outcome, reason, records):
    world.serve("example.com", records, at=[FIRST], fault=fault)

    answer = ask_first(world)

    if not records and (outcome is FOUND or fault is Fault.DENIES_AND_ANSWERS):
        outcome, reason = ABSENT, "NXDOMAIN"
    assert answer.outcome is outcome
    assert reason in answer.reason
    assert bool(reason) == bool(answer.reason)


def test_truncated_answer_is_asked_for_again_over_tcp(world):
    world.serve("example.com", {TXT: [TOKEN]}, at=[FIRST], fault=Fault.TRUNCATED)

    ask(world)

    asked = [transport for address, transport, *_ in world.queries if address == FIRST]
    assert asked == ["udp", "tcp"]


def test_each_server_gives_its_own_answer(world):
    world.serve("example.com", {TXT: [TOKEN]}, at=[FIRST])
    world.serve("example.com", {TXT: ["old"]}, at=[SECOND])
    world.serve("example.com", {}, at=[THIRD], fault=Fault.SERVFAIL)

    assert [(a.server.host, a.outcome, a.records) for a in ask(world)] == [
        ("2.ns.test", FOUND, (TOKEN,)),
        ("3.ns.test", FOUND, ("old",)),
        ("4.ns.test", FAILED, ()),
    ]


def test_second_address_of_a_server_is_asked_when_the_first_fails(world):
    world.serve("example.com", {}, at=[FIRST], fault=Fault.SERVFAIL)
    world.serve("example.com", {TXT: [TOKEN]}, at=[SECOND])
    server = NameServer("ns.test", (FIRST, SECOND), "example.com")

    answer = make_resolver(world).begin().query(server, NAME, "TXT")

    assert (answer.outcome, answer.address) == (FOUND, SECOND)


def test_silent_server_costs_its_timeout_once_a_check(world):
    world.serve("example.com", {}, at=[FIRST], fault=Fault.SILENT)
    lookup = make_resolver(world).begin()
    server = lookup.delegation(NAME).servers[0]

    reasons = [lookup.query(server, NAME, rdtype).reason for rdtype in ("TXT", "MX", "A")]

    assert reasons == ["no answer"] * 3
    asked = [query for query in world.queries if query[0] == FIRST]
    assert len(asked) == 2  # one question, sent twice


def test_name_that_cannot_be_is_a_failed_answer(world):
    lookup = make_resolver(world).begin()
    server = NameServer("ns.test", (FIRST,), "example.com")

    answer = lookup.query(server, "x" * 64 + ".example.com", "TXT")

    assert answer.outcome is FAILED
    with pytest.raises(LookupFailedError, match="cannot be a domain name"):
        lookup.delegation("a..b")


def test_private_address_is_not_asked_unless_allowed(world):
    world.serve("example.com", {TXT: [TOKEN]}, at=[FIRST])

    answer = ask_first(world, allow_private_addresses=False)

    assert (answer.outcome, answer.reason) == (FAILED, "its address is not a public one")
    assert [query for query in world.queries if query[0] == FIRST] == []


def test_deadline_of_the_check_ends_it(world):
    world.serve("example.com", {TXT: [TOKEN]})
    ticks = [0.0]
    lookup = make_resolver(world, lifetime_seconds=10, clock=lambda: ticks[0]).begin()
    server = lookup.delegation(NAME).servers[0]

    before = lookup.query(server, NAME, "TXT")
    ticks[0] = 10.0
    after = lookup.query(server, NAME, "TXT")

    assert (before.outcome, after.outcome) == (FOUND, FAILED)
    assert after.reason == "the time for this check is over"
    with pytest.raises(LookupFailedError, match="time for this check"):
        lookup.delegation("other.test")


# --- aliases --------------------------------------------------------------------


def alias(target: str) -> dict[str, list[str]]:
    return {f"{NAME} CNAME": [f"{target}."]}


@pytest.mark.parametrize(
    ("here", "there", "outcome", "words"),
    [
        (alias("x.example.com") | {"x.example.com TXT": [TOKEN]}, {}, FOUND, ""),
        (alias("x.example.com"), {}, ABSENT, "NXDOMAIN"),
        (alias("x.other.test"), {"x.other.test TXT": [TOKEN]}, FOUND, ""),
        (alias("x.other.test"), {}, ABSENT, "NXDOMAIN"),
    ],
    ids=["inside", "inside, gone", "outside", "outside, gone"],
)
def test_alias_is_followed(world, here, there, outcome, words):
    world.serve("example.com", here, at=[FIRST])
    world.serve("other.test", there, at=[SECOND])

    answer = ask_first(world)

    assert answer.outcome is outcome, answer
    assert words in answer.reason
    assert (answer.records == (TOKEN,)) == (outcome is FOUND)
    assert answer.alias == here[f"{NAME} CNAME"][0].rstrip(".")
    assert answer.server.host == "2.ns.test"


@pytest.mark.parametrize(
    ("here", "there"),
    [
        (alias(NAME), {}),
        (alias("x.example.com") | {"x.example.com CNAME": [f"{NAME}."]}, {}),
        (alias("x.other.test"), {"x.other.test CNAME": ["y.example.com."]}),
    ],
    ids=["self", "inside", "over two zones"],
)
def test_aliases_that_go_round_are_a_failure(world, here, there):
    back = {"y.example.com CNAME": ["x.other.test."]}
    world.serve("example.com", here | back, at=[FIRST])
    world.serve("other.test", there, at=[SECOND])
    server = NameServer("2.ns.test", (FIRST,), "example.com")

    answer = make_resolver(world).begin().query(server, NAME, "TXT")

    assert answer.outcome is FAILED
    assert observe(EXPECTED, make_resolver(world))[0].state is State.UNKNOWN


@pytest.mark.parametrize(
    ("second", "fault", "outcome", "words"),
    [
        ({"x.other.test TXT": [TOKEN]}, None, FOUND, ""),
        ({"x.other.test TXT": [TOKEN]}, Fault.SERVFAIL, FOUND, ""),
        ({}, None, FAILED, "disagree"),
        ({"x.other.test TXT": ["else"]}, None, FAILED, "disagree"),
    ],
)
def test_servers_of_an_alias_target_speak_with_one_voice(world, second, fault, outcome, words):
    world.serve("example.com", alias("x.other.test"), at=[FIRST])
    world.serve("other.test", {"x.other.test TXT": [TOKEN]}, at=[SECOND])
    world.serve("other.test", second, at=[THIRD], fault=fault)

    answer = ask_first(world)

    assert answer.outcome is outcome
    assert words in answer.reason


def test_absence_behind_an_alias_needs_all_of_its_servers(world):
    world.serve("example.com", alias("x.other.test"), at=[FIRST])
    world.serve("other.test", {}, at=[SECOND])
    world.serve("other.test", {}, at=[THIRD], fault=Fault.REFUSED)

    answer = ask_first(world)

    assert answer.outcome is FAILED
    assert "lame" in answer.reason


def test_alias_into_a_zone_without_servers_is_a_failure(world):
    world.serve("example.com", alias("x.other.test"), at=[FIRST])

    assert ask_first(world).outcome is FAILED


def test_endless_chain_of_aliases_ends(world):
    for number in range(40):
        target = f"{NAME} CNAME" if number == 0 else f"z{number}.test CNAME"
        origin = "example.com" if number == 0 else f"z{number}.test"
        world.serve(origin, {target: [f"z{number + 1}.test."]}, at=[FIRST])

    answer = ask_first(world)

    assert answer.outcome is FAILED
    assert "too many aliases" in answer.reason


# --- whole checks ---------------------------------------------------------------

EXPECTED = expected_records(
    "example.com", token="t0ken", mx_hosts=["mx1.panel.test"], spf_include="spf.panel.test"
)
PUBLISHED = {f"{item.name} {item.rdtype}": item.values for item in EXPECTED} | {
    "example.com TXT": ["noise", *EXPECTED[2].values]
}


def check(world: DnsWorld, expected=EXPECTED, **settings):
    return observe(expected, make_resolver(world, **settings))


def test_domain_that_publishes_all_is_present_throughout(world):
    world.serve("example.com", PUBLISHED)

    findings = check(world)

    assert [(f.kind, f.state) for f in findings] == [
        (item.kind, State.PRESENT) for item in EXPECTED
    ]
    assert [f.kind for f in findings if f.advice] == [Kind.SPF, Kind.DMARC]
    assert [e["address"] for e in findings[0].evidence] == [FIRST, SECOND]


def test_domain_that_publishes_nothing_is_absent_throughout(world):
    world.serve("example.com", {})

    assert [finding.state for finding in check(world)] == [State.ABSENT] * len(EXPECTED)


def test_resolver_that_fails_leaves_all_unknown_with_a_reason(world):
    world.break_recursion("", Fault.SERVFAIL)

    findings = check(world)

    assert [finding.state for finding in findings] == [State.UNKNOWN] * len(EXPECTED)
    assert "name servers of _mailrouting.example.com cannot be found out" in findings[0].advice


def test_servers_that_are_all_silent_leave_all_unknown(world):
    world.serve("example.com", PUBLISHED, fault=Fault.SILENT)

    assert [finding.state for finding in check(world)] == [State.UNKNOWN] * len(EXPECTED)


def test_absence_is_not_said_while_one_server_fails(world):
    world.serve("example.com", {})
    world.serve("example.com", {}, at=[THIRD], fault=Fault.SILENT)

    assert [finding.state for finding in check(world)] == [State.UNKNOWN] * len(EXPECTED)


def test_record_on_one_of_two_servers_is_a_disagreement(world):
    world.serve("example.com", PUBLISHED, at=[FIRST])
    world.serve("example.com", {}, at=[SECOND])

    finding = check(world)[0]

    assert finding.state is State.WRONG
    assert "2.ns.test has the record as it should be and 3.ns.test has not" in finding.advice


@pytest.mark.parametrize("domain", ["example.com", "mail.example.com"])
def test_zone_name_appended_twice_is_named_in_the_advice(world, domain):
    expected = expected_records(domain, token="t0ken", mx_hosts=["m.test"], spf_include="")
    there = f"_mailrouting.{domain}.example.com"
    world.serve("example.com", {f"{there} TXT": [TOKEN]})

    finding = check(world, expected)[0]

    assert finding.state is State.ABSENT
    assert f"it stands at {there}" in finding.advice


def test_wildcard_noise_is_no_misplaced_record(world):
    world.serve("example.com", {"*.com.example.com TXT": ["noise"]})

    assert check(world)[0].advice == f"Publish the TXT record at {NAME}."


def test_mx_that_names_an_alias_of_our_host_is_wrong(world):
    world.serve(
        "example.com",
        {"example.com MX": ["10 mail.example.com."], "mail.example.com CNAME": ["mx1.panel.test."]},
    )

    finding = check(world)[1]

    assert finding.state is State.WRONG
    assert finding.advice.startswith("Name mx1.panel.test in the MX record itself: mail.example")


def test_dmarc_record_delegated_by_an_alias_is_present(world):
    world.serve("example.com", {"_dmarc.example.com CNAME": ["x.other.test."]}, at=[FIRST])
    world.serve("other.test", {"x.other.test TXT": ["v=DMARC1; p=reject"]}, at=[SECOND])

    finding = check(world)[3]

    assert (finding.state, finding.found) == (State.PRESENT, ("v=DMARC1; p=reject",))
    assert finding.evidence[0]["alias"] == "x.other.test"


def test_slow_zone_delays_no_other(world):
    """Both checks run at once; the quick one ends while the slow one still waits."""
    world.serve("slow.test", {}, at=[FIRST], fault=Fault.SILENT)
    world.serve("example.com", PUBLISHED, at=[FIRST])
    resolver = make_resolver(world, timeout_seconds=0.4)
    slow_expected = expected_records("slow.test", token="t", mx_hosts=["m.test"], spf_include="")
    slow = threading.Thread(target=observe, args=(slow_expected, resolver))
    slow.start()

    findings = observe(EXPECTED, resolver)

    assert slow.is_alive()
    assert {finding.state for finding in findings} == {State.PRESENT}
    slow.join()


@pytest.mark.parametrize(
    ("name", "rdtype", "outcome", "records"),
    [
        ("example.com", "A", FOUND, ("192.0.2.7",)),
        ("alias.example.com", "A", FOUND, ("192.0.2.7",)),
        ("example.com", "AAAA", ABSENT, ()),
        ("gone.example.com", "A", ABSENT, ()),
        ("example.com", "TXT", FOUND, ("v=spf1 -all",)),
        ("x.broken.test", "A", FAILED, ()),
        ("a" * 64 + ".example.com", "A", FAILED, ()),
    ],
)
def test_a_recursive_resolver_is_asked_as_a_sender_would(world, name, rdtype, outcome, records):
    world.serve(
        "example.com",
        {
            "example.com A": ["192.0.2.7"],
            "alias.example.com CNAME": ["example.com."],
            "example.com TXT": ["v=spf1 -all"],
        },
    )
    world.break_recursion("broken.test", Fault.SERVFAIL)
    world.serve("broken.test", {})

    answer = make_resolver(world).begin().resolve(name, rdtype)

    assert (answer.outcome, answer.records) == (outcome, records)
    assert bool(answer.reason) is (outcome is FAILED)


def test_hopeless_check_ends_with_its_lifetime(world):
    world.serve("example.com", {}, at=[FIRST, SECOND, THIRD, "127.0.0.5"], fault=Fault.SILENT)
    started = time.monotonic()

    findings = check(world, timeout_seconds=0.3, lifetime_seconds=0.4)

    assert time.monotonic() - started < 1.5
    assert {finding.state for finding in findings} == {State.UNKNOWN}


# --- settings -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("192.0.2.1", ("192.0.2.1", 53)),
        ("192.0.2.1:5353", ("192.0.2.1", 5353)),
        ("2001:db8::1", ("2001:db8::1", 53)),
        ("[2001:db8::1]:5353", ("2001:db8::1", 5353)),
        ("[2001:db8::1]", ("2001:db8::1", 53)),
    ],
)
def test_resolver_address_is_read(text, endpoint):
    assert parse_endpoint(text) == endpoint


@pytest.mark.parametrize("text", ["resolver.test", "", "192.0.2.1:x", "192.0.2", "::1:53:x"])
def test_resolver_that_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match="DNS_RESOLVERS"):
        DnspythonResolver([text])


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("9.9.9.9", True),
        ("2620:fe::fe", True),
        ("::ffff:9.9.9.9", True),
        ("127.0.0.1", False),
        ("10.0.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("0.0.0.0", False),
        ("::1", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("2002:7f00:1::", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::909:909", True),
        ("64:ff9b:1::7f00:1", False),
        ("::7f00:1", False),
        ("::ffff:0:7f00:1", False),
        ("fec0::1", False),
        ("2001:db8::1", False),
        ("3fff::1", False),
        ("5f00::1", False),
        ("192.88.99.1", False),
    ],
)
def test_public_addresses_are_told_from_private_ones(address, public):
    assert is_public(address) is public
