"""Look-ups of messages that wait: real packets, kept by TTL, shared, bounded, and failing apart."""

import asyncio
from collections.abc import Iterator

import pytest

from gateway.inspection.resolver import (
    MOST_KEPT_CHARACTERS,
    MOST_QUESTIONS,
    NOWHERE,
    Answer,
    CachingResolver,
    DnsTrouble,
)
from tests.dns_server import TTL_SECONDS, DnsWorld, Fault, run_dns_world


@pytest.fixture(scope="module")
def running_dns() -> Iterator[DnsWorld]:
    with run_dns_world() as world:
        yield world


@pytest.fixture
def dns(running_dns: DnsWorld, socket_enabled: None) -> DnsWorld:
    running_dns.clear()
    running_dns.serve(
        "a.example",
        {
            "a.example TXT": ["v=spf1 -all", ["two ", "strings"]],
            "a.example MX": ["20 mx2.a.example.", "10 mx1.a.example."],
            "mx1.a.example A": ["192.0.2.1"],
            "www.a.example CNAME": ["mx1.a.example."],
        },
    )
    return running_dns


@pytest.mark.parametrize(
    ("name", "kind", "answer"),
    [
        ("a.example", "TXT", Answer(("v=spf1 -all", "two strings"))),
        ("A.Example.", "MX", Answer(("mx1.a.example", "mx2.a.example"))),
        ("www.a.example", "A", Answer(("192.0.2.1",))),
        ("mx1.a.example", "TXT", Answer(())),
        ("nobody.a.example", "A", NOWHERE),
        ("a..example", "A", NOWHERE),
        ("x" * 64 + ".example", "A", NOWHERE),
        ("x." * 200_000 + "example", "A", NOWHERE),
    ],
)
def test_answer_is_found_or_absent(dns: DnsWorld, name: str, kind: str, answer: Answer) -> None:
    assert asyncio.run(CachingResolver(dns.resolvers).ask(name, kind)) == answer


def test_what_is_kept_is_bounded() -> None:
    """Strangers choose how long their answers are, and which name is asked."""
    resolver = CachingResolver(())
    long = Answer(("x" * 65_536, ""))
    for number in range(2000):
        resolver._keep(
            (f"{number // 2}.example", "TXT"), 1.0, long if number % 2 else Answer(("",))
        )
        resolver._keep(("same.example", "TXT"), 1.0, long)
    for number in range(1000, 1600):
        resolver._keep((f"{number}.example", "TXT"), 1.0, long)
    kept = [answer for _, answer in resolver._known.values() if answer is not None]
    assert sum(len(text) for answer in kept for text in answer.records) == MOST_KEPT_CHARACTERS
    assert ("1599.example", "TXT") in resolver._known
    assert asyncio.run(resolver.ask("x" * 100_000, "TXT")) == NOWHERE
    assert len(resolver._known) == len(kept)


@pytest.mark.parametrize(
    ("records", "is_read"), [(2, True), (60, True), (200, False)], ids=["one", "many", "too many"]
)
def test_answer_over_tcp_is_read_up_to_a_bound(dns: DnsWorld, records: int, is_read: bool) -> None:
    """A long one would hold the loop, however many clients wait."""
    texts = [f"{number:0100d}" for number in range(records)]
    dns.serve("long.example", {"long.example TXT": texts}, fault=Fault.TRUNCATED)
    holding = [each.replace("127.0.0.1", "127.0.0.2") for each in dns.resolvers]

    async def ask() -> int:
        try:
            return len((await CachingResolver(holding).ask("long.example", "TXT")).records)
        except DnsTrouble:
            return 0

    assert asyncio.run(ask()) == (records if is_read else 0)


def test_failure_is_trouble_and_is_asked_again_soon(dns: DnsWorld) -> None:
    dns.break_recursion("a.example", Fault.SERVFAIL)
    now = [0.0]
    resolver = CachingResolver(dns.resolvers, clock=lambda: now[0])

    async def ask() -> Answer:
        for _ in range(2):
            with pytest.raises(DnsTrouble):
                await resolver.ask("a.example", "TXT")
        dns.faults.clear()
        now[0] = 6
        return await resolver.ask("a.example", "TXT")

    assert asyncio.run(ask()).records
    asked = [query for query in dns.queries if query[2] == "a.example"]
    assert 2 <= len(asked) <= 4  # the resolver may try a failing server twice, but not per message


@pytest.mark.parametrize("name", ["a.example", "nobody.a.example"])
def test_answer_is_kept_as_long_as_it_says(dns: DnsWorld, name: str) -> None:
    now = [0.0]
    resolver = CachingResolver(dns.resolvers, clock=lambda: now[0])

    async def ask_three_times() -> None:
        for moment in (0, TTL_SECONDS - 1, TTL_SECONDS + 1):
            now[0] = moment
            await resolver.ask(name, "TXT")

    asyncio.run(ask_three_times())
    assert len(dns.queries) == 2


def test_messages_that_ask_at_once_share_a_question(dns: DnsWorld) -> None:
    async def ask_together() -> list[Answer]:
        resolver = CachingResolver(dns.resolvers)
        return await asyncio.gather(*(resolver.ask("a.example", "TXT") for _ in range(50)))

    assert len(set(map(str, asyncio.run(ask_together())))) == 1
    assert len(dns.queries) == 1


def test_who_gives_up_leaves_the_question_to_the_others(dns: DnsWorld) -> None:
    async def ask_twice() -> Answer:
        resolver = CachingResolver(dns.resolvers)
        impatient = asyncio.ensure_future(resolver.ask("a.example", "TXT"))
        patient = asyncio.ensure_future(resolver.ask("a.example", "TXT"))
        await asyncio.sleep(0)
        impatient.cancel()
        return await patient

    assert asyncio.run(ask_twice()).records


def test_questions_under_way_are_bounded(dns: DnsWorld) -> None:
    dns.break_recursion("a.example", Fault.SILENT)

    async def ask_many() -> int:
        resolver = CachingResolver(dns.resolvers)
        asking = [
            asyncio.ensure_future(resolver.ask(f"n{number}.a.example", "A"))
            for number in range(MOST_QUESTIONS + 50)
        ]
        for _ in range(5):  # turns of the loop, in which every slot is taken
            await asyncio.sleep(0)
        waiting = len(resolver._slots._waiters or ())
        for each in (*asking, *resolver._asking.values()):
            each.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        return waiting

    assert asyncio.run(ask_many()) == 50
