"""A line on a real Postgres: what is sent is executed, its answer may come later, and nothing of it goes unnoticed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, text

from harness._processes import await_until
from reference_impl.line import Line, Pending
from reference_impl.ordinary import Statement
from tests.conftest import RunProgram

WITHIN_S = 20.0
ADD = Statement("INSERT INTO seen (word) VALUES (%(word)s) ON CONFLICT DO NOTHING RETURNING number")


@pytest.fixture
def connection(registry_database: str) -> Iterator[psycopg.Connection[Any]]:
    """One that nobody else uses, on a database with a table for the statement of these tests."""
    with psycopg.connect(registry_database) as made:
        made.execute("CREATE TABLE seen (number int GENERATED ALWAYS AS IDENTITY, word text UNIQUE, size int)")
        made.commit()
        yield made


@pytest.fixture
def line(connection: psycopg.Connection[Any]) -> Line:
    """With the statement prepared."""
    made = Line(connection)
    made.prepare(ADD)
    return made


def send(line: Line, statement: Statement, **values: Any) -> None:
    """As whoever reports does it."""
    texts = line.ready(statement, values)
    assert texts is not None
    line.send(statement, texts)


def words(engine: Engine) -> list[str]:
    """What others see."""
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT word FROM seen ORDER BY number")).scalars())


def test_an_answer_is_the_number_that_was_returned(line: Line, engine: Engine) -> None:
    """Each statement is committed by itself, before its answer comes; one that returns no row has none."""
    answers = []
    for word in ("a", "b", "a"):
        send(line, ADD, word=word)
        answers.append(line.answer(WITHIN_S))

    assert answers == [1, 2, None]
    assert words(engine) == ["a", "b"]


def test_an_answer_may_be_asked_for_again(line: Line, engine: Engine) -> None:
    """While the database waits for somebody else there is no answer yet, and nothing is lost by asking."""
    with engine.begin() as other:
        other.execute(text("INSERT INTO seen (word) VALUES ('a')"))
        send(line, ADD, word="a")
        with pytest.raises(Pending):
            line.answer(0.05)
        other.rollback()

    assert line.answer(WITHIN_S) is not None


def test_a_refusal_is_told_and_the_line_goes_on(line: Line) -> None:
    """What Postgres cannot take is an error with its words, and the next statement is another matter."""
    broken = Statement("INSERT INTO seen (word, size) VALUES (%(word)s, CAST(%(size)s AS int)) RETURNING number")
    line.prepare(broken)

    send(line, broken, word="a", size="many")
    with pytest.raises(psycopg.DatabaseError, match="invalid input syntax"):
        line.answer(WITHIN_S)
    send(line, ADD, word="b")

    assert line.answer(WITHIN_S) is not None


def test_what_is_too_long_is_not_sent(line: Line, engine: Engine) -> None:
    """A value that might not fit into the kernel's buffers would have its sender wait."""
    assert line.ready(ADD, {"word": "a" * 100_000}) is None
    assert words(engine) == []


def test_an_answer_is_never_that_of_another_statement(line: Line) -> None:
    """What could not be sent has no answer, although the statement before it had one."""
    send(line, ADD, word="a")
    assert line.answer(WITHIN_S) == 1

    with pytest.raises(psycopg.DataError):
        line.ready(ADD, {"word": "\0"})
    line.ready(ADD, {"word": "b"})

    with pytest.raises(psycopg.OperationalError):
        line.answer(WITHIN_S)


def test_a_lost_connection_is_told(line: Line, connection: psycopg.Connection[Any], engine: Engine) -> None:
    """Whoever asks for an answer that cannot come is told so, at once and each time."""
    with engine.connect() as other:
        other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": connection.info.backend_pid})

    with suppress(psycopg.Error):  # it may be known already
        send(line, ADD, word="a")

    for _ in range(2):
        with pytest.raises(psycopg.Error):
            line.answer(WITHIN_S)
    assert connection.closed


KILLED = """
import os, signal, sys
import psycopg
from reference_impl.line import Line
from reference_impl.ordinary import Statement

line = Line(psycopg.connect(sys.argv[1]))
statement = Statement(sys.argv[2])
line.prepare(statement)
for word in ("first", "last"):
    line.send(statement, line.ready(statement, {"word": word}))
    if word == "first":
        line.answer(20)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.usefixtures("connection")
def test_what_was_sent_is_executed_though_its_sender_is_killed(
    registry_database: str, engine: Engine, run_program: RunProgram
) -> None:
    """A statement is with the database as soon as it is sent: SIGKILL right afterwards takes nothing back."""
    ended = run_program(KILLED, registry_database, ADD.text)

    assert ended.returncode == -signal.SIGKILL, ended.stderr
    await_until("both words", lambda: words(engine) == ["first", "last"] or None, WITHIN_S)
