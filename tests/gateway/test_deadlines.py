"""How long a session may keep us waiting, pure: signs of life in, a verdict out."""

import pytest

from gateway.smtpd.deadlines import Phase, Pulse, patience_of
from gateway.smtpd.limits import Limits

LIMITS = Limits()
RATE = LIMITS.octets_per_second


def overdue(pulse: Pulse, phase: Phase, now: float, *, is_stressed: bool = False) -> bool:
    patience = patience_of(LIMITS, is_stressed=is_stressed)
    return pulse.is_overdue(phase, now, patience[phase], RATE)


@pytest.mark.parametrize(
    ("phase", "is_stressed", "seconds"),
    [
        (Phase.COMMAND, False, 300),
        (Phase.COMMAND, True, 10),
        (Phase.ANSWER, False, 300),
        (Phase.ANSWER, True, 300),  # the client waits for us
        (Phase.HANDSHAKE, False, 30),
        (Phase.HANDSHAKE, True, 10),
        (Phase.GOODBYE, False, 10),
        (Phase.GOODBYE, True, 10),
    ],
)
def test_each_phase_has_its_time(phase: Phase, is_stressed: bool, seconds: float):
    pulse = Pulse(0)
    assert not overdue(pulse, phase, 0, is_stressed=is_stressed)
    assert not overdue(pulse, phase, seconds - 0.1, is_stressed=is_stressed)
    assert overdue(pulse, phase, seconds, is_stressed=is_stressed)


def test_commands_renew_the_time_and_octets_do_not():
    pulse = Pulse(0)
    pulse.octets = 10_000_000
    assert overdue(pulse, Phase.COMMAND, 301)

    pulse.heard_at = 200
    assert not overdue(pulse, Phase.COMMAND, 301)


def test_new_phase_starts_anew():
    pulse = Pulse(0)
    overdue(pulse, Phase.CONTENT, 1000)

    assert not overdue(pulse, Phase.COMMAND, 1001)
    assert not overdue(pulse, Phase.COMMAND, 1300)


@pytest.mark.parametrize(
    ("octets_per_second", "is_cut"), [(0, True), (1, True), (499, True), (500, False), (9e6, False)]
)
def test_message_has_to_come_in_at_a_rate_and_not_within_a_time(
    octets_per_second: float, is_cut: bool
):
    pulse = Pulse(0)
    cut = []
    for now in range(3600):
        pulse.octets = int(now * octets_per_second)
        cut.append(overdue(pulse, Phase.CONTENT, now))

    assert any(cut) is is_cut
    assert not any(cut[: int(LIMITS.progress_seconds)])


def test_pause_is_made_good_by_what_came_in_the_same_window():
    pulse = Pulse(0)
    overdue(pulse, Phase.CONTENT, 0)
    pulse.octets = 100_000  # at once, then silence

    assert not overdue(pulse, Phase.CONTENT, 180)
    assert overdue(pulse, Phase.CONTENT, 360)


def test_slow_message_is_cut_soon_while_connections_are_scarce():
    pulse = Pulse(0)
    overdue(pulse, Phase.CONTENT, 0, is_stressed=True)
    pulse.octets = 4999

    assert overdue(pulse, Phase.CONTENT, 10, is_stressed=True)
