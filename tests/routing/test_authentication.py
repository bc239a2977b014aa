"""What an address asks of a sender against what was found: a table of outcomes."""

import pytest

from gateway.routing import replies
from gateway.routing.address import Address
from gateway.routing.authentication import (
    Ask,
    Demand,
    Dmarc,
    Findings,
    OnFailure,
    Policy,
    Result,
    Signature,
    Spf,
    failures,
    judge,
    judge_spf_alone,
    rejections,
)
from gateway.routing.replies import Reply
from tests.routing.memory import alias, decide, to_inbox

PASS, FAIL, TEMPERROR = Result.PASS, Result.FAIL, Result.TEMPERROR
ANN = Address.parse("ann@a.example")
KEY = f"x@{ANN.domain}"

SPF_OK = Spf(PASS, "a.example", is_aligned=True)
SPF_BAD = Spf(FAIL, "a.example")
SPF_ELSEWHERE = Spf(PASS, "far.example", is_aligned=False)
SPF_LOST = Spf(TEMPERROR, "a.example", is_aligned=True)
SPF_OPEN = Spf(PASS, "b.a.example", is_aligned=None)
DKIM_OK = Signature(PASS, "a.example", is_aligned=True)
DKIM_BAD = Signature(FAIL, "a.example")
DKIM_ELSEWHERE = Signature(PASS, "list.example", is_aligned=False)
DKIM_LOST = Signature(TEMPERROR, "a.example", is_aligned=True)
LIST_LOST = Signature(TEMPERROR, "list.example", is_aligned=False)
DMARC_OK, NO_DMARC = Dmarc(PASS), Dmarc(Result.NONE)
DMARC_LOST = Dmarc(TEMPERROR)
CONDEMNED = Dmarc(FAIL, Policy.REJECT)
IGNORED = Dmarc(FAIL, Policy.NONE)

OK = None
SPF, DKIM, DMARC = Ask(Demand.SPF), Ask(Demand.DKIM), Ask(Demand.DMARC)
ANY, LIST = Ask(Demand.ALIGNED), Ask(Demand.SIGNER, signer="list.example")
AUTHORS = Ask(authors=("@a.example",))
OTHERS = Ask(authors=("bob@a.example",))

CASES: list[tuple[Ask, Spf, tuple[Signature, ...], Dmarc, Reply | None]] = [
    (SPF, SPF_OK, (), DMARC_OK, OK),
    (SPF, SPF_BAD, (DKIM_OK,), DMARC_OK, replies.SPF_FAILED),
    (SPF, SPF_ELSEWHERE, (), NO_DMARC, replies.SPF_FAILED),
    (SPF, SPF_LOST, (), NO_DMARC, replies.SPF_TROUBLE),
    (SPF, SPF_OPEN, (), DMARC_LOST, replies.DMARC_TROUBLE),
    (SPF, Spf(TEMPERROR, "far.example", is_aligned=False), (), NO_DMARC, replies.SPF_FAILED),
    (DKIM, SPF_BAD, (DKIM_OK,), DMARC_OK, OK),
    (DKIM, SPF_BAD, (DKIM_BAD, DKIM_OK), DMARC_OK, OK),
    (DKIM, SPF_OK, (), DMARC_OK, replies.DKIM_FAILED),
    (DKIM, SPF_OK, (DKIM_BAD,), DMARC_OK, replies.DKIM_FAILED),
    (DKIM, SPF_OK, (DKIM_ELSEWHERE,), DMARC_OK, replies.DKIM_NOT_ALIGNED),
    (DKIM, SPF_OK, (DKIM_ELSEWHERE, DKIM_LOST), DMARC_OK, replies.DKIM_TROUBLE),
    (DKIM, SPF_OK, (DKIM_ELSEWHERE, LIST_LOST), DMARC_OK, replies.DKIM_NOT_ALIGNED),
    (DKIM, SPF_OK, (DKIM_OK, DKIM_LOST), DMARC_OK, OK),
    (ANY, SPF_OK, (), DMARC_OK, OK),
    (ANY, SPF_BAD, (DKIM_OK,), DMARC_OK, OK),
    (ANY, SPF_LOST, (DKIM_OK,), DMARC_OK, OK),
    (ANY, SPF_LOST, (DKIM_BAD,), DMARC_LOST, replies.SPF_TROUBLE),
    (ANY, SPF_BAD, (DKIM_LOST,), DMARC_LOST, replies.DKIM_TROUBLE),
    (ANY, SPF_BAD, (DKIM_ELSEWHERE,), NO_DMARC, replies.DMARC_FAILED),
    (DMARC, SPF_OK, (), DMARC_OK, OK),
    (DMARC, SPF_OK, (DKIM_OK,), NO_DMARC, replies.DMARC_FAILED),
    (DMARC, SPF_BAD, (), IGNORED, replies.DMARC_FAILED),
    (DMARC, SPF_LOST, (), DMARC_LOST, replies.SPF_TROUBLE),
    (DMARC, SPF_BAD, (DKIM_LOST,), DMARC_LOST, replies.DKIM_TROUBLE),
    (DMARC, SPF_BAD, (), DMARC_LOST, replies.DMARC_TROUBLE),
    (LIST, SPF_BAD, (DKIM_ELSEWHERE,), NO_DMARC, OK),
    (LIST, SPF_BAD, (DKIM_ELSEWHERE,), IGNORED, OK),
    (LIST, SPF_OK, (DKIM_OK,), DMARC_OK, replies.DKIM_NOT_ALIGNED),
    (LIST, SPF_OK, (), DMARC_OK, replies.DKIM_FAILED),
    (LIST, SPF_OK, (LIST_LOST,), DMARC_OK, replies.DKIM_TROUBLE),
    # A DMARC fail beats what else passes, and may not be ruled out while DNS is away.
    (LIST, SPF_BAD, (DKIM_ELSEWHERE,), CONDEMNED, replies.DMARC_FAILED),
    (LIST, SPF_BAD, (DKIM_ELSEWHERE,), Dmarc(FAIL, Policy.QUARANTINE), replies.DMARC_FAILED),
    (LIST, SPF_BAD, (DKIM_ELSEWHERE,), DMARC_LOST, replies.DMARC_TROUBLE),
    (SPF, SPF_BAD, (), CONDEMNED, replies.DMARC_FAILED),
    (AUTHORS, SPF_OK, (), DMARC_OK, OK),
    (AUTHORS, SPF_OK, (), NO_DMARC, replies.DMARC_FAILED),
    (AUTHORS, SPF_LOST, (), DMARC_LOST, replies.SPF_TROUBLE),
    (OTHERS, SPF_OK, (), DMARC_OK, replies.SENDER_NOT_ALLOWED),
]


@pytest.mark.parametrize(("ask", "spf", "signatures", "dmarc", "reply"), CASES)
def test_demand_is_answered(
    ask: Ask, spf: Spf, signatures: tuple[Signature, ...], dmarc: Dmarc, reply: Reply | None
) -> None:
    assert judge(ask, Findings(ANN, spf, signatures, dmarc)) == reply


def test_message_without_one_author_has_nobody_on_the_list() -> None:
    found = Findings(None, SPF_OK, (DKIM_OK,), Dmarc(Result.PERMERROR))
    assert judge(AUTHORS, found) == replies.SENDER_NOT_ALLOWED


@pytest.mark.parametrize(
    ("ask", "result", "reply"),
    [
        (SPF, PASS, None),
        (SPF, FAIL, replies.SPF_FAILED),
        (SPF, Result.SOFTFAIL, replies.SPF_FAILED),
        (SPF, Result.NONE, replies.SPF_FAILED),
        (SPF, TEMPERROR, replies.SPF_TROUBLE),
        (ANY, FAIL, None),
        (Ask(Demand.SPF, OnFailure.HOLD), FAIL, None),
    ],
)
def test_spf_alone_refuses_where_no_author_could_help(
    ask: Ask, result: Result, reply: Reply | None
) -> None:
    assert judge_spf_alone(ask, Spf(result, "a.example")) == reply


def test_refusal_for_good_goes_before_one_for_now_and_before_a_hold() -> None:
    held = Ask(Demand.DKIM, OnFailure.HOLD)
    found = Findings(ANN, SPF_LOST, (), NO_DMARC)
    judged = failures([held, SPF, DKIM], found)
    assert [ask for ask, _ in judged] == [DKIM, SPF, held]


def test_only_demands_that_refuse_need_an_answer_of_their_own() -> None:
    assert rejections([Ask(Demand.DKIM, OnFailure.HOLD), Ask(Demand.SPF, OnFailure.MARK)]) == set()
    assert rejections([SPF, DKIM]) == rejections([DKIM, SPF]) != rejections([SPF])


# --- which demands a recipient ends up with ----------------------------------------


def test_demand_is_noted_for_data() -> None:
    decision = decide(KEY, alias(KEY, to_inbox(), ask=DKIM))
    assert decision.asks == (DKIM,)
    [step] = [step for step in decision.trace if step.name == "sender authentication"]
    assert str(step) == "sender authentication: checked at DATA (DKIM pass, aligned; else reject)"


def test_list_of_authors_is_not_compared_with_the_envelope() -> None:
    row = alias(KEY, to_inbox(), allowed_senders=("@b.example",), ask=Ask(authors=("@b.example",)))
    assert decide(KEY, row).asks == (Ask(authors=("@b.example",)),)


def test_null_sender_has_no_author_to_be_on_the_list() -> None:
    senders = ("<>", "@b.example")
    row = alias(KEY, to_inbox(), allowed_senders=senders, ask=Ask(authors=senders))
    unlisted = alias(KEY, to_inbox(), allowed_senders=senders[1:], ask=Ask(authors=senders[1:]))
    assert decide(KEY, row, sender=None).asks == ()
    assert decide(KEY, unlisted, sender=None).reply == replies.SENDER_NOT_ALLOWED
