"""Rspamd's HTTP protocol: POST /checkv2 with the message, JSON back.

The envelope goes in header fields (From, Rcpt, IP, Helo, Queue-Id, MTA-Name, Password). Hostname,
the client's name in DNS, is not sent: it is not looked up here. An answer that is late, long, not
200 or not JSON of the right form is no answer.
"""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress

import httpx2
from msgspec import DecodeError, Struct
from msgspec.json import Decoder

from gateway.incoming import Envelope
from gateway.routing.content_filter import Verdict

LONGEST_ANSWER_OCTETS = 1024 * 1024
# Messages in the filter's hands at a time; more wait, within their deadline.
CONNECTIONS = 50
KEPT_SECONDS = 30.0
_ACTIONS = {
    "no action": Verdict.CLEAN,
    "accept": Verdict.CLEAN,
    "greylist": Verdict.LATER,
    "soft reject": Verdict.LATER,
    "add header": Verdict.SUSPICIOUS,
    "rewrite subject": Verdict.SUSPICIOUS,
    "quarantine": Verdict.QUARANTINE,
    "reject": Verdict.SPAM,
    "discard": Verdict.SPAM,
}


class FilterFailed(Exception):
    """The filter gave no answer that can be used; the message says why."""


class Symbol(Struct):
    """A rule that matched."""

    score: float = 0.0


class Answer(Struct):
    """What is read of the JSON."""

    action: str
    score: float | None = None
    required_score: float | None = None
    symbols: dict[str, Symbol] = {}


class Report(Struct, frozen=True):
    """What the filter said. `symbols` are the names of rules, those that weigh most first."""

    verdict: Verdict
    action: str = ""
    score: float = 0.0
    required: float = 0.0
    symbols: tuple[str, ...] = ()
    note: str = ""


_decode = Decoder(Answer).decode


class Rspamd:
    """A filter at a URL, asked over connections that are kept for a while."""

    def __init__(
        self,
        url: str,
        *,
        password: str = "",
        deadline_seconds: float,
        most_octets: int,
        virus_symbols: Collection[str],
        mta_name: str,
    ) -> None:
        self._deadline_seconds = deadline_seconds
        self._most_octets = most_octets
        self._virus_symbols = frozenset(virus_symbols)
        given = {"MTA-Name": mta_name, "Accept-Encoding": "identity"}
        self._client = httpx2.AsyncClient(
            base_url=url,
            headers=given | ({"Password": password} if password else {}),
            timeout=None,  # `check` has one deadline for the whole
            limits=httpx2.Limits(
                max_connections=CONNECTIONS,
                max_keepalive_connections=CONNECTIONS,
                keepalive_expiry=KEPT_SECONDS,
            ),
            follow_redirects=False,
            trust_env=False,
        )

    async def check(self, envelope: Envelope, recipients: Sequence[str], octets: bytes) -> Report:
        """What the filter makes of a message. Raises FilterFailed."""
        try:
            async with asyncio.timeout(self._deadline_seconds):
                body = await self._ask(_fields(envelope, recipients), octets[: self._most_octets])
        except TimeoutError:
            raise FilterFailed(f"no answer within {self._deadline_seconds:g} s") from None
        except (httpx2.HTTPError, OSError) as error:
            raise FilterFailed(str(error) or type(error).__name__) from error
        try:
            return self._report(_decode(body), is_cut=len(octets) > self._most_octets)
        except DecodeError as error:
            raise FilterFailed(f"its answer cannot be read: {error}") from error

    async def close(self) -> None:
        """End the connections; never raises."""
        with suppress(httpx2.HTTPError, OSError):
            await self._client.aclose()

    async def _ask(self, fields: list[tuple[bytes, bytes]], octets: bytes) -> bytes:
        sending = self._client.stream("POST", "/checkv2", headers=fields, content=octets)
        async with sending as response:
            if response.status_code != 200:
                raise FilterFailed(f"its answer has status {response.status_code}")
            body = bytearray()
            async for piece in response.aiter_raw():
                body += piece
                if len(body) > LONGEST_ANSWER_OCTETS:
                    raise FilterFailed("its answer has no end")
            return bytes(body)

    def _report(self, answer: Answer, *, is_cut: bool) -> Report:
        """An action that we do not know is one that somebody added: worth a mark."""
        verdict = _ACTIONS.get(answer.action, Verdict.SUSPICIOUS)
        if not self._virus_symbols.isdisjoint(answer.symbols):
            verdict = Verdict.VIRUS
        weights = sorted(answer.symbols.items(), key=lambda each: -abs(each[1].score))
        return Report(
            verdict,
            answer.action,
            answer.score or 0.0,
            answer.required_score or 0.0,
            tuple(name for name, _ in weights),
            f"the first {self._most_octets} octets of it" if is_cut else "",
        )


def _fields(envelope: Envelope, recipients: Sequence[str]) -> list[tuple[bytes, bytes]]:
    fields = [
        ("From", envelope.sender),
        *(("Rcpt", recipient) for recipient in recipients),
        ("Helo", envelope.helo),
        ("Queue-Id", envelope.queue_id),
    ]
    if envelope.client is not None:
        fields.append(("IP", str(envelope.client)))
    return [(name.encode(), value.encode()) for name, value in fields]
