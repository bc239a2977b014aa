"""The catalogue: codes agree, and no text names what is inside."""

import pytest

from gateway.routing import replies
from gateway.routing.replies import Reply

CATALOGUE = [(name, value) for name, value in vars(replies).items() if isinstance(value, Reply)]
INTERNALS = ("postgres", "database", "django", "celery", "sql", "python", "exception", "tenant")


@pytest.mark.parametrize("reply", [reply for _, reply in CATALOGUE], ids=[n for n, _ in CATALOGUE])
def test_reply_is_well_formed(reply):
    classes = reply.enhanced.split(".")

    assert str(reply.code)[0] == classes[0], "RFC 3463 §2: the classes agree"
    assert len(classes) == 3
    assert reply.text.isascii()
    assert len(str(reply)) <= 510, "RFC 5321 §4.5.3.1.5"
    assert not any(word in reply.text.lower() for word in INTERNALS)


def test_accepted_temporary_and_permanent_exclude_each_other():
    for _, reply in CATALOGUE:
        assert [reply.is_accepted, reply.is_temporary, reply.code >= 500].count(True) == 1


def test_a_queued_message_is_told_its_id():
    assert str(replies.queued("4Zx")) == "250 2.0.0 Ok: queued as 4Zx"
