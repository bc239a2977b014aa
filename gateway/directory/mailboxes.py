"""Mailboxes by id, for those who have a decision already and hand its mail over later."""

from collections.abc import Sequence

import psycopg

from gateway.batching import Batcher
from gateway.directory import rows
from gateway.directory.statements import READ_MAILBOXES
from gateway.link import Link, Question
from gateway.pending import Pending
from gateway.routing.facts import LookupFailed, Mailbox

LARGEST_BATCH = 400


class PostgresMailboxes:
    """Mailboxes as they stand now; look-ups that arrive together share one query."""

    def __init__(self, link: Link) -> None:
        self._batcher: Batcher[Link, int, Mailbox | None] = Batcher(
            _read_together, links=[link], largest=LARGEST_BATCH
        )

    def mailbox(self, mailbox_id: int) -> Pending[Mailbox | None]:
        """The mailbox with its next hop; None where it is gone. It raises LookupFailed."""
        return self._batcher.submit(mailbox_id)


async def _read_together(link: Link, ids: Sequence[int]) -> Sequence[Mailbox | None]:
    question = Question(READ_MAILBOXES, ([str(mailbox_id) for mailbox_id in ids],))
    try:
        (answer,) = await link.ask_again(question)
    except psycopg.Error as error:
        raise LookupFailed(str(error)) from error
    decoded = (rows.mailbox(rows.decode_mailbox(row or b"")) for (row,) in answer)
    found = {mailbox.id: mailbox for mailbox in decoded}
    return [found.get(mailbox_id) for mailbox_id in ids]
