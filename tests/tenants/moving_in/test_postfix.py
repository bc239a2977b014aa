"""What Postfix would do with a recipient: virtual(5) in tables, and the same of a real postmap."""

import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from tenants.moving_in.inventory import DomainKind, Inventory
from tenants.moving_in.live import LivePostfix, parse_place
from tenants.moving_in.postfix import OldSystemFailed, StoredRules, answers
from tests.gateway.peers import age
from tests.tenants.moving_in.installations import NOW


def inventory() -> Inventory:
    found = Inventory()
    found.take_domain("a.example")
    found.take_domain("off.example", active=False)
    found.take_domain("whole.example", kind=DomainKind.RELAYED_WHOLE)
    found.take_domain("all.example")
    found.take_alias_domain("b.example", "a.example")
    found.take_alias_domain("m.example", "a.example", covers_aliases=False)
    for name in ("jo@a.example", "ann@a.example", "jo@off.example", "box@all.example"):
        found.take_mailbox(name, name="", active=True)
    found.take_mailbox("gone@a.example", name="", active=False)
    aliases = {
        "jo@a.example": "jo@a.example",
        "team@a.example": "jo@a.example, ann@a.example, x@else.example",
        "copy@a.example": "copy@a.example, jo@a.example",
        "deep@a.example": "team@a.example",
        "loop@a.example": "pool@a.example",
        "pool@a.example": "loop@a.example",
        "dead@a.example": "gone@a.example",
        "partly@a.example": "gone@a.example, jo@a.example",
        "null@a.example": "/dev/null",
        "out@a.example": "jo@off.example",
        "@all.example": "jo@a.example",
        "own@all.example": "own@all.example",
        "exact+detail@a.example": "ann@a.example",
    }
    for address, goto in aliases.items():
        found.take_alias(address, goto.split(","))
    found.take_alias("late@a.example", ["jo@a.example"], expires_at=NOW - timedelta(days=1))
    found.take_alias("soon@a.example", ["jo@a.example"], expires_at=NOW + timedelta(days=1))
    found.take_alias("off@a.example", ["jo@a.example"], active=False)
    found.take_copy("team@a.example", "archive@else.example")
    return found


REFUSED = None
CASES: dict[str, tuple[str, str] | None] = {  # where mail ends, and what bounces; or refused
    "jo@a.example": ("jo@a.example", ""),
    "JO@A.EXAMPLE": ("jo@a.example", ""),
    "jo+x@a.example": ("jo@a.example", ""),
    "ann@a.example": ("ann@a.example", ""),
    "exact+detail@a.example": ("ann@a.example", ""),
    "team@a.example": ("ann@a.example archive@else.example jo@a.example x@else.example", ""),
    "team+x@a.example": ("ann@a.example archive@else.example jo@a.example x@else.example", ""),
    "deep@a.example": ("ann@a.example jo@a.example x@else.example", ""),  # copies: as addressed
    "copy@a.example": ("jo@a.example", "copy@a.example"),
    "loop@a.example": ("", ""),
    "dead@a.example": ("", "gone@a.example"),
    "partly@a.example": ("jo@a.example", "gone@a.example"),
    "gone@a.example": REFUSED,
    "null@a.example": ("/dev/null", ""),
    "out@a.example": ("jo@off.example", ""),  # not served: it leaves, by MX
    "jo@off.example": REFUSED,
    "late@a.example": REFUSED,
    "soon@a.example": ("jo@a.example", ""),
    "off@a.example": REFUSED,
    "nobody@a.example": REFUSED,
    "jo@b.example": ("jo@a.example", ""),
    "team@b.example": ("ann@a.example jo@a.example x@else.example", ""),
    "nobody@b.example": REFUSED,
    "jo@m.example": ("jo@a.example", ""),
    "team@m.example": REFUSED,
    "anything@whole.example": ("anything@whole.example", ""),
    "anything@all.example": ("jo@a.example", ""),
    "box@all.example": ("jo@a.example", ""),  # a catch-all takes a mailbox without an alias
    "own@all.example": ("", "own@all.example"),
    "somebody@else.example": REFUSED,
}


@pytest.mark.parametrize("recipient", CASES)
def test_stored_rules_answer_as_postfix(recipient: str) -> None:
    key = recipient.lower()
    answer = answers([key], StoredRules(inventory(), now=NOW))[key]
    expected = CASES[recipient]
    assert answer.accepted == (expected is not None), answer.text
    if expected is not None:
        told = (" ".join(sorted(answer.destinations)), " ".join(sorted(answer.lost)))
        assert told == expected, answer.text


MAIN_CF = """\
compatibility_level = 3.6
recipient_delimiter = +
virtual_mailbox_domains = a.example, texthash:{folder}/domains
virtual_alias_domains =
virtual_mailbox_maps = texthash:{folder}/mailboxes
virtual_alias_maps = texthash:{folder}/aliases, regexp:{folder}/patterns
relay_domains = r.example
relay_recipient_maps = texthash:{folder}/relayed
recipient_bcc_maps = texthash:{folder}/copies
"""
FILES = {
    "domains": "all.example x\n",
    "mailboxes": "jo@a.example x\nann@a.example x\n",
    "aliases": "jo@a.example jo@a.example\nteam@a.example jo@a.example, Ann@a.example,\n"
    "  x@else.example\n@all.example jo@a.example\n",
    "patterns": "/^ticket-[0-9]+@a\\.example$/ ann@a.example\n",
    "relayed": "lou@r.example x\n",
    "copies": "team@a.example archive@else.example\n",
}
LIVE = {
    "jo@a.example": "jo@a.example",
    "jo+x@a.example": "jo@a.example",
    "ann@a.example": "ann@a.example",
    "team@a.example": "ann@a.example archive@else.example jo@a.example x@else.example",
    "ticket-42@a.example": "ann@a.example",
    "ticket-x@a.example": REFUSED,
    "anything@all.example": "jo@a.example",
    "lou@r.example": "lou@r.example",
    "max@r.example": REFUSED,
    "nobody@a.example": REFUSED,
    "somebody@else.example": REFUSED,
}


@pytest.fixture
def postfix(tmp_path: Path) -> Path:
    (tmp_path / "main.cf").write_text(MAIN_CF.format(folder=tmp_path))
    (tmp_path / "master.cf").write_text("")
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    for file in tmp_path.iterdir():
        age(file)
    return tmp_path


@pytest.mark.needs("postfix")
def test_a_running_postfix_is_asked_through_postmap(postfix: Path) -> None:
    asked: list[str] = []

    def run(command, text):
        asked.append(command[0])
        return run_program(command, text)

    from tenants.moving_in.live import run_program

    live = LivePostfix.of(str(postfix), run=run)
    found = answers(LIVE, live)
    told = {
        key: " ".join(sorted(answer.destinations)) if answer.accepted else REFUSED
        for key, answer in found.items()
    }
    assert told == LIVE
    assert len(asked) < 20  # a process for each map and round, not for each address


@pytest.mark.needs("postfix")
def test_a_map_that_cannot_be_read_is_no_answer(postfix: Path) -> None:
    (postfix / "aliases").unlink()
    with pytest.raises(OldSystemFailed, match="aliases"):
        answers(["jo@a.example"], LivePostfix.of(str(postfix)))


def test_a_machine_without_postfix_is_told() -> None:
    def run(command, text):
        raise OldSystemFailed("postconf: No such file or directory")

    with pytest.raises(OldSystemFailed, match="postconf"):
        LivePostfix.of(run=run)


def test_postconf_s_complaint_is_told() -> None:
    def run(command, text):
        return subprocess.CompletedProcess(command, 1, "", "postconf: fatal: open main.cf")

    with pytest.raises(OldSystemFailed, match=r"main\.cf"):
        LivePostfix.of("/nowhere", run=run)


def test_moments_are_the_rules_own() -> None:
    later = StoredRules(inventory(), now=NOW + timedelta(days=2))
    assert not answers(["soon@a.example"], later)["soon@a.example"].accepted


@pytest.mark.parametrize("text", ["", "old", "old=", "=/etc/postfix", "old=postfix"])
def test_a_place_without_name_or_whole_directory_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="name=/etc/postfix"):
        parse_place(text)


def test_a_place_is_a_name_and_a_directory() -> None:
    assert parse_place(" old = /etc/postfix-old") == ("old", "/etc/postfix-old")
