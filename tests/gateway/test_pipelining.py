"""Commands that come together (RFC 2920): answered each and in order, looked up together."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from gateway.pending import Pending
from gateway.routing.address import Address
from gateway.routing.facts import Facts
from gateway.smtpd.transaction import Terms
from gateway.smtpd.wire import Line, Wire
from tenants import changes
from tests.gateway.live import LiveGateway
from tests.gateway.stage import ACTOR, Stage

if TYPE_CHECKING:
    from gateway.directory import PostgresDirectory


class WatchedDirectory:
    """The directory in use, and how many recipients each question was for."""

    is_in_doubt = False

    def __init__(self, gateway: LiveGateway) -> None:
        self._directory: PostgresDirectory = gateway.server.services.directory
        self.asked: list[int] = []
        gateway.replace_directory(self)  # type: ignore[arg-type]

    def facts(self, recipients: Sequence[Address]) -> Pending[Facts]:
        self.asked.append(len(recipients))
        return self._directory.facts(recipients)


def test_recipients_that_come_together_are_answered_in_order(gateway: LiveGateway, stage: Stage):
    stage.alias("known")
    known, unknown = stage.address("known"), stage.address("nobody")
    commands = [f"RCPT TO:<{known}>", f"RCPT TO:<{unknown}>", "RCPT TO:<a@b@c>", "RCPT nonsense"]
    with gateway.connect() as wire:
        wire.write("\r\n".join(["MAIL FROM:<>", *commands, *commands, "RSET", ""]).encode())
        codes = [wire.reply()[:9] for _ in range(10)]

    answers = ["250 2.1.5", "550 5.1.1", "553 5.1.3", "501 5.5.4"]
    assert codes == ["250 2.1.0", *answers, *answers, "250 2.0.0"]


@pytest.mark.parametrize("gateway", ["plain"], indirect=True)  # aiosmtpd reads line by line
@pytest.mark.parametrize("asked", ["", " NOTIFY=NEVER ORCPT=rfc822;a@b.example"])
def test_recipients_that_come_together_are_looked_up_together(
    stage: Stage, gateway: LiveGateway, asked: str
):
    gateway.server.services.terms = Terms(offers_dsn=bool(asked))
    watched = WatchedDirectory(gateway)
    addresses = [stage.address(f"box{number}") for number in range(8)]
    with gateway.connect() as wire:
        commands = [f"RCPT TO:<{address}>{asked}" for address in addresses]
        wire.write("\r\n".join(["MAIL FROM:<>", *commands, "NOOP", ""]).encode())
        replies = [wire.reply() for _ in range(10)]

    assert [reply[:3] for reply in replies] == ["250", *["550"] * 8, "250"]
    assert watched.asked == [8]


def test_recipient_after_an_answer_is_looked_up_anew(stage: Stage, gateway: LiveGateway):
    alias = stage.alias("known")
    command = f"RCPT TO:<{stage.address('known')}>\r\n".encode()
    with gateway.connect() as wire:
        wire.command("MAIL FROM:<>")
        wire.write(command + command)
        assert [wire.reply()[:3] for _ in range(2)] == ["250", "250"]
        alias.enabled = False
        changes.save(alias, actor=ACTOR)
        wire.write(command + command)
        assert [wire.reply()[:9] for _ in range(2)] == ["550 5.2.1", "550 5.2.1"]


def test_upcoming_lines_of_a_command_stay_and_end_where_another_comes():
    wire = Wire(line_limit=20)
    wire.feed(b"rcpt TO:<a>\r\nRCPT TO:<b>\nRCPTS\r\nRCPT TO:<c>\r\nRCPT TO")

    assert wire.upcoming(b"RCPT", most=9) == [b"rcpt TO:<a>", b"RCPT TO:<b>"]
    assert wire.upcoming(b"RCPT", most=1) == [b"rcpt TO:<a>"]
    assert wire.next_event() == Line(b"rcpt TO:<a>")
