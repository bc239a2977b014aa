"""Recipients that come together are looked up together (RFC 2920 §3.1).

A client that pipelines has said its RCPTs before the first is answered: one question to the
directory serves all. They are read after they were said, so no answer is older than its command.
"""

from collections.abc import Iterable
from contextlib import suppress

from gateway.directory import PostgresDirectory
from gateway.pending import Pending
from gateway.routing.address import Address
from gateway.routing.facts import Facts
from gateway.smtpd.command import CommandError, parse_rcpt


class Foresight:
    """Facts on their way for the arguments of RCPTs that wait for their turn."""

    def __init__(self) -> None:
        self._facts: dict[str, Pending[Facts]] = {}

    def look(
        self,
        arguments: Iterable[str],
        directory: PostgresDirectory,
        *,
        smtputf8: bool,
        offers_dsn: bool,
    ) -> None:
        """Ask for all of them, unless those before are not used up."""
        if self._facts:
            return
        found: dict[str, Address] = {}
        for argument in arguments:
            with suppress(CommandError):  # answered when its turn comes
                rcpt = parse_rcpt(argument, smtputf8=smtputf8, offers_dsn=offers_dsn)
                if rcpt.recipient:
                    found[argument] = rcpt.recipient
        if found:
            self._facts = dict.fromkeys(found, directory.facts(list(found.values())))

    def take(self, argument: str) -> Pending[Facts] | None:
        """The facts for one RCPT, once; None where it was not foreseen."""
        return self._facts.pop(argument, None)

    def forget(self) -> None:
        """Drop what was not used: the transaction is over."""
        self._facts = {}
