"""A line to the database on which a statement is under way while whoever sent it goes on with other work.

Once a statement is with the kernel it reaches the database, whatever becomes of this process: Postgres executes what it
was sent by a client that is gone, and commits it. So only who needs the answer has to wait for it. There is one
statement under way at a time, prepared beforehand, in a transaction of its own.

https://www.postgresql.org/docs/18/libpq-async.html
"""

from __future__ import annotations

import select
import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult
from sqlalchemy import Engine, PoolProxiedConnection

from reference_impl.ordinary import Statement

IS_POSSIBLE = hasattr(select, "poll")
"""Eventlet takes it away."""

_BYTES_MAX = 65_536
"""What is longer might have to wait for room on its way."""


Texts = Sequence[Buffer | None]


class Pending(Exception):
    """The answer has not come yet."""


class Line:
    """A connection that nobody else uses meanwhile. It may be used by one thread at a time, and is not to be forked."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._lender: PoolProxiedConnection | None = None
        self._libpq = connection.pgconn
        self._values = Transformer.from_context(connection)
        self._names: dict[Statement, bytes] = {}
        self._sent_whole = True
        self._results: list[PGresult] = []
        self._poll = select.poll()

    @classmethod
    def lent_by(cls, engine: Engine) -> Line:
        """On the engine's own connection, which nobody can have until it is given back. Raises SQLAlchemy's errors.

        What was prepared on that connection still is.
        """
        proxy = engine.raw_connection()
        line: Line | None = proxy.info.get("line")
        if line is None:
            line = proxy.info["line"] = cls(cast("Any", proxy.driver_connection))
        line._lender = proxy
        return line

    def give_back(self, *, broken: bool = False) -> None:
        """Return the connection; in place of one that is broken the engine makes another. Nothing may be under way."""
        lender, self._lender = self._lender, None
        if lender is None:
            return
        if broken or self._connection.closed:
            lender.invalidate()
        else:
            lender.close()

    def knows(self, statement: Statement) -> bool:
        """Whether it is prepared."""
        return statement in self._names

    def prepare(self, statement: Statement) -> None:
        """Have the database parse it, once for all. Raises psycopg.Error; it waits for the answer."""
        name = f"tracking_{len(self._names)}"
        self._connection.execute(f"PREPARE {name} AS {statement.numbered}".encode())
        self._connection.commit()
        self._names[statement] = name.encode()

    def ready(self, statement: Statement, values: Mapping[str, Any]) -> Texts | None:
        """The values as text, for `send`; None where they are too long. Raises what values raise that have no text.

        What was sent before must have been answered: that answer is forgotten.
        """
        names = statement.names
        texts = self._values.dump_sequence([values[name] for name in names], [PyFormat.TEXT] * len(names))
        self._results = []
        return texts if sum(len(text) for text in texts if text is not None) <= _BYTES_MAX else None

    def send(self, statement: Statement, texts: Texts) -> None:
        """Have it executed. Raises psycopg.Error: then it may have been sent or not."""
        self._libpq.send_query_prepared(self._names[statement], texts)
        self._sent_whole = not self._libpq.flush()

    def answer(self, within_s: float | None) -> int | None:
        """The number that the statement has returned, or None where it returned no row; None waits as long as it takes.

        It may be asked for again. Raises Pending where it has not come; psycopg.Error where the statement was refused,
        and OperationalError where the connection is gone, too: then it may have been executed or not.
        """
        until = None if within_s is None else time.monotonic() + within_s
        while True:
            while not self._sent_whole or self._libpq.is_busy():
                self._await_word(until)
            result = self._libpq.get_result()
            if result is None:
                return self._number()
            self._results.append(result)

    def _number(self) -> int | None:
        if not self._results:
            raise psycopg.OperationalError("nothing was sent, or the connection is gone")
        if self._results[-1].status != ExecStatus.TUPLES_OK:
            error = error_from_result(self._results[-1])
            raise error if error.sqlstate else psycopg.OperationalError(str(error))  # libpq's own word, not Postgres'
        number = self._results[-1].get_value(0, 0) if self._results[-1].ntuples else None
        return None if number is None else int(number)

    def _await_word(self, until: float | None) -> None:
        self._poll.register(self._libpq.socket, select.POLLIN | (0 if self._sent_whole else select.POLLOUT))
        left_ms = None if until is None else max(0.0, until - time.monotonic()) * 1000
        if not self._poll.poll(left_ms):
            raise Pending
        self._libpq.consume_input()
        self._sent_whole = self._sent_whole or not self._libpq.flush()
