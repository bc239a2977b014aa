"""The catalogue: codes agree, and no text names what is inside."""

import pytest

from gateway.routing import replies
from gateway.routing.replies import Reply

CATALOGUE = [(name, value) for name, value in vars(replies).items() if isinstance(value, Reply)]
INTERNALS = ("postgres", "database", "django", "celery", "sql", "python", "exception", "tenant")


@pytest.mark.parametrize("reply", [reply for _, reply in CATALOGUE], ids=[n for n, _ in CATALOGUE])
def test_reply_is_well_formed(reply):
    assert reply.text.isascii()
    assert len(str(reply)) <= 510, "RFC 5321 §4.5.3.1.5"
    assert not any(word in reply.text.lower() for word in INTERNALS)


@pytest.mark.parametrize("reply", [reply for _, reply in CATALOGUE], ids=[n for n, _ in CATALOGUE])
def test_class_digits_of_reply_and_enhanced_code_agree(reply):
    classes = reply.enhanced.split(".") if reply.enhanced else []

    if 300 <= reply.code < 400:
        assert classes == [], "RFC 2034 §4: 2xx, 4xx and 5xx alone carry one"
    else:
        assert [len(classes), classes[0]] == [3, str(reply.code)[0]], "RFC 3463 §2"


def test_accepted_temporary_and_permanent_exclude_each_other():
    for _, reply in CATALOGUE:
        assert [reply.is_accepted, reply.is_temporary, reply.code >= 500].count(True) == 1


def test_a_queued_message_is_told_its_id():
    assert str(replies.queued("4Zx")) == "250 2.0.0 Ok: queued as 4Zx"
