"""Publications that fail are told, with the id under which a record may stand already."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery
from kombu.exceptions import EncodeError

from reference_impl.publications import tell_failed_publications

CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


def send(_: object) -> None:
    """A task that nobody runs."""


@pytest.fixture
def app() -> Celery:
    """An application whose broker is this process's memory."""
    return Celery("published", broker="memory://", set_as_current=False)


@pytest.fixture
def told(app: Celery) -> list[tuple[str, str, Exception]]:
    """What was told of the application's failed publications."""
    heard: list[tuple[str, str, Exception]] = []
    tell_failed_publications(app, lambda task_id, name, error: heard.append((task_id, name, error)))
    return heard


def test_a_publication_that_fails_is_told_and_raised(app: Celery, told: list[tuple[str, str, Exception]]) -> None:
    """The publisher gets the error as before, and the tracker hears of id, name and error."""
    with pytest.raises(EncodeError, match="ircular") as raised:
        app.send_task("mail.send", [CIRCLE], task_id="t")

    assert told == [("t", "mail.send", raised.value)]


def test_the_id_that_celery_would_make_up_is_told(app: Celery, told: list[tuple[str, str, Exception]]) -> None:
    """Without an id of the publisher's, what is told is the one under which the publication was announced."""
    task = app.task(name="mail.send")(send)
    with pytest.raises(EncodeError, match="ircular"):
        task.delay(CIRCLE)

    assert len(told[0][0]) == 36


def test_a_publication_that_goes_out_is_not_told(app: Celery, told: list[tuple[str, str, Exception]]) -> None:
    """Nothing is heard of what succeeds, and the publisher gets its result handle."""
    assert app.send_task("mail.send", ["ann"], task_id="t").id == "t"
    assert told == []
