"""Fetching MTA-STS policy files over HTTPS (RFC 8461 §3.3).

Rule of this file: whoever owns a domain chooses where its file lies, so the address is looked
up first, has to be a public one, and is the very one that is connected to. No redirects, no
proxy of the environment, one deadline for the whole, and no more than LONGEST_OCTETS read.
"""

import asyncio
import ssl

import httpx2

from tenants.dns.answers import Lookup, Outcome, PolicyAnswer
from tenants.dns.expected import policy_url
from tenants.dns.resolver import is_public

LONGEST_OCTETS = 65_536
"""Senders need not read more of a policy (RFC 8461 §3.2)."""


class TooLongError(Exception):
    """The file is longer than senders read."""


class HttpsPolicyFetcher:
    """Policy files over HTTPS; safe to share between threads.

    `authorities` is a file of CA certificates, empty for the usual ones. Addresses that are
    not public are asked only if `allow_private_addresses`.
    """

    def __init__(
        self,
        *,
        timeout_seconds: float = 5.0,
        port: int = 443,
        authorities: str = "",
        allow_private_addresses: bool = False,
    ) -> None:
        self.timeout_seconds = timeout_seconds
        self.port = port
        self.context = ssl.create_default_context(cafile=authorities or None)
        self.allow_private_addresses = allow_private_addresses

    def fetch(self, domain: str, lookup: Lookup) -> PolicyAnswer:
        """The policy file of a domain, from the first of its addresses."""
        host = f"mta-sts.{domain}"
        found = lookup.resolve(host, "A")
        if found.outcome is Outcome.ABSENT:
            found = lookup.resolve(host, "AAAA")
        if found.outcome is Outcome.FAILED:
            return PolicyAnswer(Outcome.FAILED, reason=found.reason)
        if not found.records:
            return PolicyAnswer(Outcome.ABSENT, reason=f"{host} has no address")
        address = found.records[0]
        if not (self.allow_private_addresses or is_public(address)):
            return PolicyAnswer(Outcome.ABSENT, reason=f"{address} is not a public address")
        return asyncio.run(self._fetch(domain, host, address))

    async def _fetch(self, domain: str, host: str, address: str) -> PolicyAnswer:
        try:
            async with asyncio.timeout(self.timeout_seconds):
                return await self._get(domain, host, address)
        except TimeoutError:
            return PolicyAnswer(Outcome.FAILED, reason="no answer in time")
        except TooLongError:
            return PolicyAnswer(Outcome.ABSENT, reason="it is longer than 64 KiB")
        except (httpx2.HTTPError, OSError) as error:
            if isinstance(_root_of(error), ssl.SSLCertVerificationError):
                return PolicyAnswer(Outcome.ABSENT, reason=f"the certificate of {host} is no good")
            return PolicyAnswer(Outcome.FAILED, reason=f"{address} cannot be reached")

    async def _get(self, domain: str, host: str, address: str) -> PolicyAnswer:
        url = httpx2.URL(policy_url(domain)).copy_with(host=address, port=self.port)
        client = httpx2.AsyncClient(
            verify=self.context, timeout=None, follow_redirects=False, trust_env=False
        )
        # The certificate has to name the host, though the address is connected to.
        asked = {"headers": {"Host": host}, "extensions": {"sni_hostname": host}}
        async with client, client.stream("GET", url, **asked) as response:  # type: ignore[arg-type]
            if response.status_code != 200:
                return PolicyAnswer(Outcome.ABSENT, reason=f"status {response.status_code}")
            kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            if kind != "text/plain":
                return PolicyAnswer(Outcome.ABSENT, reason="it has to be sent as text/plain")
            body = bytearray()
            async for piece in response.aiter_raw():
                body += piece
                if len(body) > LONGEST_OCTETS:
                    raise TooLongError
        return PolicyAnswer(Outcome.FOUND, body.decode("utf-8", "replace"))


def _root_of(error: BaseException) -> BaseException:
    """What an error began with: HTTP clients wrap what TLS said."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error
