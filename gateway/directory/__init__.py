"""The only read of routing data for decisions: rows in, Facts out.

Nothing is kept between reads: an address disabled in the panel is refused by the very next look-up.
SQL by hand stands in statements.py alone, what is asked when in reading.py, how in postgres.py.
"""

from gateway.directory.mailboxes import PostgresMailboxes
from gateway.directory.postgres import LOOKUP_LINKS, PostgresDirectory, read_facts
from gateway.directory.reading import platform

__all__ = ["LOOKUP_LINKS", "PostgresDirectory", "PostgresMailboxes", "platform", "read_facts"]
