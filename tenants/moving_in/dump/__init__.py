"""Reads the rows out of what mysqldump, pg_dump and sqlite3's .dump write; nothing is executed.

Bounded memory: one piece of the text and one statement's value at a time, whatever the size.
"""

from tenants.moving_in.dump.lexer import DumpError
from tenants.moving_in.dump.reader import read_rows

__all__ = ["DumpError", "read_rows"]
