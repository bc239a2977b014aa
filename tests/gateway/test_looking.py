"""Large messages that inspectors look at: few in memory, not all of one client, nobody for ever."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from ipaddress import ip_address

import pytest

from gateway.incoming import Envelope, Recipient
from gateway.inspection.authenticator import Authenticator
from gateway.inspection.inspector import Examined, NoTurn
from gateway.inspection.resolver import Answer
from gateway.routing.authentication import Findings, Result
from gateway.smtpd.content import Content
from gateway.smtpd.looking import AT_A_TIME, Looking
from gateway.spool import Spool
from tests.gateway import signers
from tests.gateway.memory_dns import MemoryDns

pytestmark = pytest.mark.enable_socket  # an event loop wakes itself through one

AUTHOR = "sender.example"
SIGNED = signers.sign(signers.content(AUTHOR), AUTHOR)
ENVELOPE = Envelope("Q", f"ann@{AUTHOR}", ip_address("192.0.2.1"), "client.example", "ESMTP")
ZONE = {f"s._domainkey.{AUTHOR} TXT": [signers.rsa_signer().record()]}


def large() -> Content:
    """A message in a file, which is empty here."""
    content = Content(b"", normalises=False)
    content.spool = Spool(content._hash)
    return content


class Stay:
    """One who looks at a large message until told to leave."""

    def __init__(self, looking: Looking, client: bytes | None) -> None:
        self.is_in = False
        self._leaves = asyncio.Event()
        self._task = asyncio.ensure_future(self._stay(looking, client))

    async def _stay(self, looking: Looking, client: bytes | None) -> None:
        async with looking.at(large(), client):
            self.is_in = True
            await self._leaves.wait()

    async def leave(self) -> None:
        self._leaves.set()
        await self._task


async def settle() -> None:
    """Let everybody go as far as they can: the reading happens on a thread."""
    await asyncio.sleep(0)
    await asyncio.get_running_loop().run_in_executor(None, lambda: None)
    for _ in range(20):
        await asyncio.sleep(0.001)


def test_one_client_never_takes_all_places() -> None:
    async def run() -> list[list[bool]]:
        looking, seen = Looking(), []
        stays = [Stay(looking, b"a"), Stay(looking, b"a"), Stay(looking, b"b"), Stay(looking, b"c")]
        await settle()
        seen.append([stay.is_in for stay in stays])
        await stays[0].leave()
        await settle()
        seen.append([stay.is_in for stay in stays])
        await asyncio.gather(*(stay.leave() for stay in stays))
        return seen

    assert asyncio.run(run()) == [[True, False, True, False], [True, False, True, True]]


def test_clients_that_nothing_is_counted_for_take_all_places() -> None:
    async def run() -> list[bool]:
        looking = Looking()
        stays = [Stay(looking, None) for _ in range(AT_A_TIME + 1)]
        await settle()
        seen = [stay.is_in for stay in stays]
        await asyncio.gather(*(stay.leave() for stay in stays))
        return seen

    assert asyncio.run(run()) == [True] * AT_A_TIME + [False]


def test_turn_that_does_not_come_in_time_is_none_and_leaves_no_trace() -> None:
    async def run() -> None:
        looking = Looking(wait_seconds=0.01)
        stay = Stay(looking, b"a")
        await settle()
        with pytest.raises(NoTurn):
            async with looking.at(large(), b"a"):
                pass
        await stay.leave()
        async with looking.at(large(), b"a"):
            pass

    asyncio.run(run())


class WaitingDns(MemoryDns):
    """Tells of each question whether the message was in memory meanwhile."""

    is_in_memory = False

    def __init__(self) -> None:
        super().__init__(ZONE)
        self.seen: list[bool] = []

    async def ask(self, name: str, kind: str) -> Answer:
        self.seen.append(self.is_in_memory)
        return await super().ask(name, kind)


def authenticate(dns: WaitingDns, octets: bytes, whole: Callable[[], Awaitable[bytes]]) -> Findings:
    @asynccontextmanager
    async def turn() -> AsyncIterator[bytes]:
        dns.is_in_memory = True
        try:
            yield await whole()
        finally:
            dns.is_in_memory = False

    async def run() -> Findings:
        header = octets.partition(b"\r\n\r\n")[0]
        recipients: tuple[Recipient, ...] = ()
        return await inspector.authenticate(Examined(ENVELOPE, header, recipients, turn))

    with ThreadPoolExecutor(1) as executor:
        inspector = Authenticator(dns, server="mx.example", executor=executor)
        return asyncio.run(run())


def test_no_name_server_is_waited_for_while_a_message_is_in_memory() -> None:
    dns = WaitingDns()
    turns: list[bytes] = []

    async def whole() -> bytes:
        turns.append(SIGNED)
        return SIGNED

    found = authenticate(dns, SIGNED, whole)

    assert [each.result for each in found.signatures] == [Result.PASS]
    assert len(turns) == 1
    assert dns.seen
    assert not any(dns.seen)


def test_message_without_a_signature_that_has_a_key_is_not_asked_for() -> None:
    async def whole() -> bytes:
        raise AssertionError("nobody needs it")

    found = authenticate(WaitingDns(), signers.content(AUTHOR), whole)

    assert found.signatures == ()


def test_signature_whose_message_cannot_be_had_is_unknown() -> None:
    async def whole() -> bytes:
        raise NoTurn

    found = authenticate(WaitingDns(), SIGNED, whole)

    assert [each.result for each in found.signatures] == [Result.TEMPERROR]
