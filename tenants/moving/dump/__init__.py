"""Reads the rows out of what mysqldump, pg_dump and sqlite3's .dump write; nothing is executed.

Bounded memory: one piece of the text and one statement's value at a time, whatever the size.
"""

from tenants.moving.dump.lexer import DumpError
from tenants.moving.dump.reader import read_rows

__all__ = ["DumpError", "read_rows"]
