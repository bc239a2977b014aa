"""Who may connect, and which client has used its budget up: pure, on a clock of the test's own."""

from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_network

import pytest

from gateway.routing import replies
from gateway.routing.replies import Reply
from gateway.smtpd.limits import Limits
from gateway.smtpd.strangers import Guest, Strangers, client_key

LIMITS = Limits(
    max_connections=10,
    max_connections_per_client=2,
    client_errors=5,
    client_window_seconds=600,
    max_clients=3,
)
START = 6000.0


class Clock:
    """Seconds, as the test says."""

    now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def strangers(clock: Clock, **limits: object) -> Strangers:
    return Strangers(replace(LIMITS, **limits), clock)


def let_in(who: Strangers, text: str) -> Guest:
    guest = who.enter(ip_address(text))
    assert isinstance(guest, Guest)
    return guest


def err(guest: Guest, times: int) -> None:
    for _ in range(times):
        guest.answer(550, "5.1.1")


@pytest.mark.parametrize(
    ("one", "other", "are_same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("0.0.0.0", "::", False),
    ],
)
def test_client_is_an_ipv4_address_or_an_ipv6_64(one: str, other: str, are_same: bool):
    assert (client_key(ip_address(one)) == client_key(ip_address(other))) is are_same


def test_connections_of_one_client_are_capped_and_others_are_let_in(clock: Clock):
    who = strangers(clock)
    first, _ = let_in(who, "2001:db8::1"), let_in(who, "2001:db8::2")

    assert who.enter(ip_address("2001:db8::3")) == replies.TOO_MANY_OF_CLIENT
    let_in(who, "2001:db8:0:1::1")
    first.leave()
    let_in(who, "2001:db8::3")


def test_connections_of_the_process_are_capped(clock: Clock):
    who = strangers(clock, max_connections=3)
    guests = [let_in(who, f"192.0.2.{number}") for number in range(3)]

    assert who.enter(ip_address("192.0.2.9")) == replies.TOO_MANY_CONNECTIONS
    guests[0].leave()
    let_in(who, "192.0.2.9")


def test_peers_without_an_address_are_capped_by_the_process_alone(clock: Clock):
    who = strangers(clock, max_connections=3)
    answers = [who.enter(None) for _ in range(4)]

    assert [isinstance(answer, Reply) for answer in answers] == [False, False, False, True]


def test_exempt_clients_are_neither_capped_nor_counted(clock: Clock):
    who = strangers(clock, exempt=(ip_network("192.0.2.0/24"),), max_connections=1)
    guests = [let_in(who, "192.0.2.1") for _ in range(5)]
    err(guests[0], 50)

    assert guests[0].answer(550, "5.1.1") == 0
    assert not guests[0].is_over_budget()
    for guest in guests:
        guest.leave()
    assert who.connected == 0


def test_leaving_twice_counts_once(clock: Clock):
    who = strangers(clock)
    guest = let_in(who, "192.0.2.1")
    guest.leave()
    guest.leave()

    assert who.connected == 0


def test_connection_behind_a_proxy_is_its_clients(clock: Clock):
    who = strangers(clock, exempt=(ip_network("192.0.2.1"),))
    behind = [let_in(who, "192.0.2.1") for _ in range(3)]
    client = IPv4Address("198.51.100.7")

    answers = [guest.become(client) for guest in behind]

    assert answers == [None, None, replies.TOO_MANY_OF_CLIENT]
    for guest in behind:
        guest.leave()
    assert who.connected == 0
    let_in(who, str(client))


@pytest.mark.parametrize(("connected", "is_stressed"), [(7, False), (8, True)])
def test_connections_are_scarce_from_a_share_of_the_cap(
    clock: Clock, connected: int, is_stressed: bool
):
    who = strangers(clock)
    for number in range(connected):
        let_in(who, f"192.0.2.{number}")

    assert who.is_stressed is is_stressed


def test_errors_add_up_over_connections_of_one_client(clock: Clock):
    who = strangers(clock)
    for _ in range(5):
        guest = let_in(who, "192.0.2.1")
        assert not guest.is_over_budget()
        err(guest, 1)
        guest.leave()

    assert let_in(who, "192.0.2.1").is_over_budget()
    assert not let_in(who, "192.0.2.2").is_over_budget()


@pytest.mark.parametrize(
    ("code", "enhanced", "is_counted"),
    [
        (550, "5.1.1", True),
        (500, "5.5.2", True),
        (450, "4.2.1", False),  # a busy address is not its sender's fault
        (450, "4.7.28", False),  # or nobody would ever be let in again
        (451, "4.3.0", False),
        (250, "2.1.5", False),
    ],
)
def test_budget_counts_permanent_refusals(clock: Clock, code: int, enhanced: str, is_counted: bool):
    guest = let_in(strangers(clock), "192.0.2.1")
    for _ in range(9):
        guest.answer(code, enhanced)

    assert guest.is_over_budget() is is_counted


def test_client_that_brings_more_mail_than_errors_stays_within_its_budget(clock: Clock):
    guest = let_in(strangers(clock), "192.0.2.1")
    for _ in range(8):
        guest.bring()
    err(guest, 8)
    assert not guest.is_over_budget()

    err(guest, 1)
    assert guest.is_over_budget()


def test_window_rolls_on_and_lets_the_client_in_again(clock: Clock):
    guest = let_in(strangers(clock), "192.0.2.1")
    err(guest, 6)

    seen = []
    for minutes in (0, 9, 10, 11, 12, 20):
        clock.now = START + minutes * 60
        seen.append(guest.is_over_budget())

    assert seen == [True, True, True, True, False, False]


def test_long_silence_forgets_everything(clock: Clock):
    guest = let_in(strangers(clock), "192.0.2.1")
    err(guest, 50)
    clock.now += 3 * 600

    assert not guest.is_over_budget()


def test_budget_of_zero_is_none(clock: Clock):
    guest = let_in(strangers(clock, client_errors=0), "192.0.2.1")
    err(guest, 50)

    assert not guest.is_over_budget()


def test_memory_is_bounded_and_the_quietest_is_forgotten_first(clock: Clock):
    who = strangers(clock, max_connections=1000)
    loud = let_in(who, "192.0.2.1")
    err(loud, 6)
    for number in range(200):
        err(let_in(who, f"198.51.100.{number}"), 1)
        err(loud, 1)

    assert len(who) == LIMITS.max_clients
    assert loud.is_over_budget()
