"""Errors of one session: what counts, how long answers wait, when it ends."""

import pytest

from gateway.smtpd.conduct import Conduct
from gateway.smtpd.limits import Limits

LIMITS = Limits(tarpit_errors=10, max_errors=20, delay_seconds=1, max_idle_talk=3, max_postponed=2)


def after(conduct: Conduct, times: int, code: int = 550, enhanced: str = "5.1.1") -> Conduct:
    for _ in range(times):
        conduct.answer(code, enhanced, LIMITS)
    return conduct


@pytest.mark.parametrize(
    ("code", "enhanced", "is_error"),
    [
        (250, "2.1.5", False),
        (354, "", False),
        (550, "5.1.1", True),
        (450, "4.2.1", True),
        (450, "4.7.28", True),
        (500, "5.5.2", True),
        (503, "5.5.1", True),
        (552, "5.3.4", True),
        (451, "4.3.0", False),  # our own trouble
        (452, "4.3.1", False),
        (452, "4.5.3", False),  # asked to come with the next message
    ],
)
def test_refusals_are_errors_and_our_own_trouble_is_not(code: int, enhanced: str, is_error: bool):
    assert Conduct().answer(code, enhanced, LIMITS) is is_error


@pytest.mark.parametrize(
    ("errors", "seconds"), [(1, 0), (9, 0), (10, 1), (11, 2), (15, 6), (19, 10)]
)
def test_answers_wait_from_the_tenth_error_on(errors: int, seconds: float):
    assert after(Conduct(), errors).delay(LIMITS) == seconds


@pytest.mark.parametrize(
    ("errors", "is_stressed", "is_over"),
    [(19, False, False), (20, False, True), (9, True, False), (10, True, True)],
)
def test_session_is_over_at_its_limit_and_sooner_under_stress(
    errors: int, is_stressed: bool, is_over: bool
):
    assert after(Conduct(), errors).is_over(LIMITS, is_stressed=is_stressed) is is_over


@pytest.mark.parametrize("verb", ["NOOP", "RSET", "EHLO", "HELO", "VRFY", "HELP", "EXPN"])
def test_idle_talk_beyond_its_budget_is_an_error(verb: str):
    conduct = Conduct()
    for _ in range(5):
        conduct.hear(verb, LIMITS)
        conduct.answer(250, "2.0.0", LIMITS)

    assert conduct.errors == 2


def test_command_that_errs_twice_counts_once():
    conduct = Conduct()
    for _ in range(4):
        conduct.hear("VRFY", LIMITS)
        conduct.answer(501, "5.5.4", LIMITS)

    assert conduct.errors == 4


def test_commands_that_move_mail_are_no_idle_talk():
    conduct = Conduct()
    for verb in ("MAIL", "RCPT", "DATA", "BDAT", "STARTTLS", "QUIT") * 5:
        conduct.hear(verb, LIMITS)
        conduct.answer(250, "2.0.0", LIMITS)

    assert conduct.errors == 0


def test_recipients_told_to_come_later_are_errors_beyond_their_budget():
    assert after(Conduct(), 5, 452, "4.5.3").errors == 3


def test_stored_message_forgives():
    conduct = after(Conduct(), 15)
    conduct.forgive()

    assert after(conduct, 1).delay(LIMITS) == 0
