"""A PostgreSQL connection that belongs to an event loop: questions out, rows in, one round trip.

psycopg opens it; then libpq's own calls (psycopg.pq) are driven by the loop, in pipeline mode with
statements prepared once. A look-up through psycopg's cursors took five times as much of the
gateway's time, in waiting for sockets and converting values, as one through here.
"""

import asyncio
import re
import struct
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg
from msgspec.json import encode
from psycopg import pq

from gateway.database import (
    AWAY,
    STATEMENT_TIMEOUT_MS,
    connection_parameters,
    seconds_to_connect,
)

# Longer than a statement may take: it only ends what the server left hanging.
ANSWER_SECONDS = STATEMENT_TIMEOUT_MS / 1000 + 1
# What is streamed may take as long as its octets need on a busy disk.
COPY_SECONDS = 30

Row = tuple[bytes | None, ...]
# A text, a binary value, or texts of an array.
Parameter = str | bytes | Sequence[str]

_UNDER_WAY = (pq.TransactionStatus.ACTIVE, pq.TransactionStatus.UNKNOWN)
_ROWS = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)
_TEXT, _BINARY = 0, 1
# As JSON writes it: the backslash is not itself escaped.
_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
BYTEA_OID = 17


class Statement(NamedTuple):
    """SQL with `$1`, `$2`, … for its parameters, and the name it is prepared under."""

    name: str
    text: str


class Question(NamedTuple):
    """A statement with its parameters."""

    statement: Statement
    parameters: tuple[Parameter, ...] = ()


BEGIN = Question(Statement("begin", "BEGIN"))
# For a transaction in which something is streamed.
PATIENT = Question(Statement("patient", f"SET LOCAL statement_timeout = '{COPY_SECONDS}s'"))
COMMIT = Question(Statement("commit", "COMMIT"))
ROLLBACK = Question(Statement("rollback", "ROLLBACK"))


class Link:
    """One persistent connection, opened when first needed. Whoever uses it has it alone."""

    def __init__(self) -> None:
        self._opened: psycopg.AsyncConnection[Any] | None = None
        self._socket = -1
        self._prepared: set[str] = set()
        self._is_writing = False
        # Of the exchange under way: what has been sent, what has come back.
        self._preparing: deque[str | None] = deque()
        self._rows: list[list[Row]] = []
        self._error: psycopg.Error | None = None
        self._answer: asyncio.Future[list[list[Row]]] | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a connection; one that the server ended is gone at once."""
        return self._opened is not None

    async def open(self) -> None:
        """Connect now, which takes several round trips. Raises psycopg.Error."""
        if self._opened is None:
            await self._open()

    async def ask(self, *questions: Question) -> list[list[Row]]:
        """The rows of each question, values as text; all of them in one round trip.

        Questions outside BEGIN and COMMIT are one transaction. After an error none of them has
        happened, and what BEGIN began is rolled back. Raises psycopg.Error.
        """
        opened = self._opened or await self._open()
        try:
            return await self._exchange(opened.pgconn, questions)
        except BaseException as error:
            await self._clear_up(opened.pgconn, error)
            raise

    async def ask_again(self, *questions: Question) -> list[list[Row]]:
        """Like `ask` for idempotent questions: once more when the connection turns out dead."""
        try:
            return await self.ask(*questions)
        except AWAY:
            return await self.ask(*questions)

    async def copy(self, statement: str, pieces: AsyncIterator[bytes]) -> None:
        """Stream octets into a `COPY … FROM STDIN`, as fast as the server takes them.

        libpq holds a parameter whole, and moves what is left of it with each write to the socket:
        25 MB took 140 ms of the loop's time, 60 of them at once. Errors as in `ask`; an error of
        psycopg that the pieces raise ends the copy.
        """
        opened = self._opened or await self._open()
        try:
            async with asyncio.timeout(COPY_SECONDS + 1):
                with self._lent(opened):
                    async with opened.cursor() as cursor, cursor.copy(statement) as copy:
                        async for piece in pieces:
                            await copy.write(piece)
        except TimeoutError as error:
            self.close()
            raise psycopg.OperationalError("the database did not take it in time") from error
        except BaseException as error:
            await self._clear_up(opened.pgconn, error)
            raise

    async def _clear_up(self, pgconn: pq.abc.PGconn, error: BaseException) -> None:
        """Leave nothing half done: what the server refused is rolled back, all else closed."""
        is_refused = isinstance(error, psycopg.Error) and not isinstance(error, AWAY)
        if not is_refused:
            self.close()  # dead, or cancelled: nobody waits for the rest of the answer
        elif pgconn.transaction_status != pq.TransactionStatus.IDLE:
            await self.ask(ROLLBACK)

    @contextmanager
    def _lent(self, opened: "psycopg.AsyncConnection[Any]") -> Iterator[None]:
        """Let psycopg drive the connection, which knows no pipeline of ours."""
        loop = asyncio.get_running_loop()
        opened.pgconn.exit_pipeline_mode()
        loop.remove_reader(self._socket)
        try:
            yield
        finally:
            if opened.pgconn.transaction_status not in _UNDER_WAY:  # else it will be closed
                opened.pgconn.enter_pipeline_mode()
                loop.add_reader(self._socket, self._receive)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What begins and ends a transaction stands in it: no error leaves one open."""
        try:
            yield
        except psycopg.Error:
            raise  # rolled back already
        except BaseException:
            self.close()
            raise

    def close(self, error: psycopg.Error | None = None) -> None:
        """End the connection, and with it a transaction under way; who waits gets the error."""
        if self._opened is None:
            return
        opened, self._opened = self._opened, None
        loop = asyncio.get_running_loop()
        # Before anything else gets the number of the socket, which libpq may have closed already.
        loop.remove_reader(self._socket)
        loop.remove_writer(self._socket)
        opened.pgconn.finish()
        self._prepared.clear()
        self._is_writing = False
        self._settle(error or psycopg.OperationalError("the connection was closed"))

    async def _open(self) -> "psycopg.AsyncConnection[Any]":
        """Raises psycopg.OperationalError."""
        parameters = connection_parameters()
        try:
            async with asyncio.timeout(seconds_to_connect(parameters)):
                opened = await psycopg.AsyncConnection.connect(**parameters, autocommit=True)
        except TimeoutError as error:
            raise psycopg.OperationalError("the database did not answer in time") from error
        opened.pgconn.enter_pipeline_mode()
        self._opened, self._socket = opened, opened.pgconn.socket
        asyncio.get_running_loop().add_reader(self._socket, self._receive)
        return opened

    async def _exchange(
        self, pgconn: pq.abc.PGconn, questions: Sequence[Question]
    ) -> list[list[Row]]:
        loop = asyncio.get_running_loop()
        self._answer = loop.create_future()
        self._rows = []
        self._error = None
        self._preparing.clear()
        for question in questions:
            self._send(pgconn, question)
        pgconn.pipeline_sync()
        self._flush()
        deadline = loop.call_later(ANSWER_SECONDS, self._give_up)
        try:
            return await self._answer
        finally:
            deadline.cancel()

    def _send(self, pgconn: pq.abc.PGconn, question: Question) -> None:
        name, text = question.statement
        if name not in self._prepared and name not in self._preparing:
            pgconn.send_prepare(name.encode(), text.encode())
            self._preparing.append(name)
        values = [_encode(value) for value in question.parameters]
        formats = [_BINARY if isinstance(value, bytes) else _TEXT for value in question.parameters]
        pgconn.send_query_prepared(name.encode(), values, formats)
        self._preparing.append(None)

    def _flush(self) -> None:
        """Hand what is left to send to the socket, as it takes it."""
        if self._opened is None:
            return
        pgconn = self._opened.pgconn
        try:
            is_left = pgconn.flush()
        except psycopg.OperationalError as error:
            self.close(error)
            return
        if is_left and not self._is_writing:
            asyncio.get_running_loop().add_writer(self._socket, self._flush)
        elif self._is_writing and not is_left:
            asyncio.get_running_loop().remove_writer(self._socket)
        self._is_writing = bool(is_left)

    def _receive(self) -> None:
        """Take what has come; the end of the pipeline ends the exchange."""
        if self._opened is None:
            return
        pgconn = self._opened.pgconn
        try:
            pgconn.consume_input()
            while self._answer is not None and not pgconn.is_busy():
                result = pgconn.get_result()
                if result is None:
                    continue  # the end of one statement
                if result.status == pq.ExecStatus.PIPELINE_SYNC:
                    self._settle(self._error)
                else:
                    self._take(result)
        except psycopg.OperationalError as error:
            self.close(error)

    def _take(self, result: pq.abc.PGresult) -> None:
        prepared = self._preparing.popleft()
        if result.status in _ROWS:
            if prepared is not None:
                self._prepared.add(prepared)
            else:
                columns = range(result.nfields)
                get = result.get_value
                self._rows.append(
                    [tuple([get(row, c) for c in columns]) for row in range(result.ntuples)]
                )
        elif self._error is None:
            self._error = _error_of(result)

    def _give_up(self) -> None:
        self.close(psycopg.OperationalError("the database did not answer in time"))

    def _settle(self, error: psycopg.Error | None) -> None:
        answer, self._answer = self._answer, None
        if answer is None or answer.done():
            return
        if error is None:
            answer.set_result(self._rows)
        else:
            answer.set_exception(error)


def _encode(value: Parameter) -> bytes:
    if isinstance(value, bytes):
        return value
    return (value if isinstance(value, str) else array(value)).encode()


def array(texts: Sequence[str]) -> str:
    """The texts as PostgreSQL writes an array of them."""
    quoted = [text.replace("\\", "\\\\").replace('"', '\\"') for text in texts]
    return '{"' + '","'.join(quoted) + '"}' if quoted else "{}"


def binary_array(values: Sequence[bytes | memoryview]) -> bytes:
    """The values as PostgreSQL takes a `bytea[]` in its binary form."""
    head = struct.pack("!iIIii", 1, 0, BYTEA_OID, len(values), 1)
    parts = [part for value in values for part in (struct.pack("!i", len(value)), value)]
    return b"".join([head, *parts])


def as_json(value: object) -> bytes:
    """The value as PostgreSQL takes a `json` in its binary form; times in ISO 8601.

    Without NUL, which none of its texts can hold: one in a row would fail all that share its batch.
    """
    octets = encode(value)
    return _NUL.sub(rb"\1", octets) if b"\\u0000" in octets else octets


def _error_of(result: pq.abc.PGresult) -> psycopg.Error:
    """The exception that psycopg names for the SQLSTATE."""
    state = result.error_field(pq.DiagnosticField.SQLSTATE) or b""
    message = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"no reason given"
    try:
        kind: type[psycopg.Error] = psycopg.errors.lookup(state.decode())
    except KeyError:
        kind = psycopg.DatabaseError
    return kind(message.decode("utf-8", "replace"))
