"""Reports that could not be written in time, on disk: they outlive their process, and others write them for it.

Each process has a file of its own, made when there is something to keep and removed when all of it is in the
database. Its lock tells whether it still has an owner. A report is in the file when `keep` returns, so a killed
process loses none; that the machine itself stays up is taken for granted, nothing waits for the disk.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import fcntl
import hashlib
import json
import logging
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, get_args
from uuid import uuid4

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import make_url

from reference_impl import stored_results
from reference_impl.agent_rows import AgentWord, Step
from reference_impl.lifecycle import Event
from reference_impl.messages import Message
from reference_impl.reports import Report
from reference_impl.settings import Settings

logger = logging.getLogger(__name__)

_BEGINNING, _ENDING = "celery-tracker-", ".jsonl"
_UNCLAIMED_S = 86_400.0
_EVENTS = {kind.__name__: TypeAdapter(kind) for kind in get_args(Event)}


class SpoolError(Exception):
    """The report is not on disk; the message says why, and what to do."""


class Spool:
    """What one process keeps on disk; not safe for use by several threads at once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._path: Path | None = None
        self._file: int | None = None
        self._lines = 0
        self._open: set[int] = set()

    def keep(self, report: Report) -> int:
        """Write the report down; gives the number by which `done` knows it. Raises SpoolError."""
        number, self._lines = self._lines, self._lines + 1  # first: a signal handler may keep another meanwhile
        try:
            self._append({"report": number, **_as_values(report)})
        except Exception as error:
            where = spool_directory(self._settings)
            raise SpoolError(f"it is in memory only: {where}: {type(error).__name__}: {error}") from error
        self._open.add(number)
        return number

    def done(self, number: int) -> None:
        """The report is in the database, or refused by it."""
        self._open.discard(number)
        if self._file is None or self._path is None:
            return
        if not self._open:
            self._path.unlink(missing_ok=True)
            self.forget()
            return
        with contextlib.suppress(OSError):  # then it may be written once more by another, and is refused
            _write_line(self._file, {"done": number})

    def forget(self) -> None:
        """A forked child leaves the file, and its lock, to its parent."""
        file, self._file = self._file, None
        self._path, self._lines, self._open = None, 0, set()
        if file is not None:
            os.close(file)

    def _append(self, line: Mapping[str, Any]) -> None:
        if self._file is None:
            self._path, self._file = _make(own_directory(self._settings))
        _write_line(self._file, line)


def spool_directory(settings: Settings) -> Path:
    """Where the processes of one machine that write to the same registry keep their reports."""
    if settings.spool_directory is not None:
        return settings.spool_directory
    url = make_url(settings.sqlalchemy_url)
    options = sorted((name, value) for name, value in url.query.items() if name != "password")
    registry = hashlib.sha256(f"{url.host} {url.port} {url.database} {options}".encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"celery-tracker-{os.getuid()}-{registry}"


def own_directory(settings: Settings) -> Path:
    """That directory, made where it was missing. Raises OSError, or SpoolError where others could write to it."""
    directory = spool_directory(settings)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_ours(directory):
        raise SpoolError(
            f"{directory}: others may write there, or it is a link; name a directory of your own in spool_directory"
        )
    return directory


def is_behind(settings: Settings) -> bool:
    """Whether a process of this machine, living or not, still has to write what it has kept."""
    return any(spool_directory(settings).glob(f"{_BEGINNING}*{_ENDING}"))


def adopt(settings: Settings, write: Callable[[Report], None]) -> int:
    """Write what ended processes have left, oldest first; gives how many reports that were.

    Whatever `write` raises ends it: what was not written stays for another time.
    """
    directory = spool_directory(settings)
    if not directory.exists() or not _is_ours(directory):
        return 0  # who has something to keep there is told so
    written = 0
    for path in sorted(directory.glob(f"{_BEGINNING}*{_ENDING}")):
        with _owned(path) as file:
            if file is None:
                continue
            for number, report in _left_in(path):
                write(report)
                written += 1
                _write_line(file, {"done": number})
            path.unlink()
    _forget_results_of_nobody(directory)
    return written


def _forget_results_of_nobody(directory: Path) -> None:
    """Texts of large results whose processes were killed before they could tell of them; no report speaks of them."""
    if any(directory.glob(f"{_BEGINNING}*{_ENDING}")):
        return
    for path in directory.glob(f"{_BEGINNING}*.result"):
        with contextlib.suppress(FileNotFoundError):  # somebody else was faster
            if time.time() - path.stat().st_mtime > _UNCLAIMED_S:
                path.unlink()


def _write_line(file: int, line: Mapping[str, Any]) -> None:
    """The end of the line before comes first: that one may have been cut short."""
    data = b"\n" + json.dumps(line).encode()
    if os.write(file, data) != len(data):
        raise OSError("no space is left")


def _make(directory: Path) -> tuple[Path, int]:
    """A file that is locked before others can see it as one that was left."""
    path = directory / f"{_BEGINNING}{uuid4().hex}{_ENDING}"
    unseen = path.with_suffix(".new")
    file = os.open(unseen, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
    fcntl.flock(file, fcntl.LOCK_EX)
    unseen.rename(path)
    return path, file


def _is_ours(directory: Path) -> bool:
    """Whether nobody else can put a report there for us to believe."""
    made = directory.lstat()  # where a link leads is for whoever can change it to say
    alone = not made.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(made.st_mode) and made.st_uid == os.getuid() and alone


@contextlib.contextmanager
def _owned(path: Path) -> Iterator[int | None]:
    """The file with its lock; None where its owner lives, or somebody else is at it."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield None
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield file if path.exists() else None
    except BlockingIOError:
        yield None
    finally:
        os.close(file)


def _left_in(path: Path) -> list[tuple[int, Report]]:
    kept: dict[int, Report] = {}
    unreadable = 0
    for line in filter(None, path.read_bytes().splitlines()):
        try:
            values = json.loads(line)
            if "done" in values:
                kept.pop(values["done"], None)
            else:
                number = values.pop("report")
                kept[number] = _as_report(values)
        except (ValueError, KeyError, TypeError, ValidationError):
            unreadable += 1
    if unreadable:
        aside = path.with_suffix(".unreadable")
        aside.unlink(missing_ok=True)
        aside.hardlink_to(path)
        logger.error("tracking: %d lines of the spool cannot be read; they are in %s", unreadable, aside)
    return sorted(kept.items(), key=lambda item: item[1].happened)


def _as_values(report: Report) -> dict[str, Any]:
    """As JSON. The moment is kept by the wall clock: another process, perhaps after a restart, reads it."""
    event, kind = report.event, type(report.event).__name__
    values = {field.name: getattr(report, field.name) for field in dataclasses.fields(report)}
    message = report.message
    return values | {
        "event": {"kind": kind, **_EVENTS[kind].dump_python(event, mode="json")},
        "arguments": report.arguments() if report.arguments else None,
        "eta": report.eta.isoformat() if report.eta else None,
        "agent": report.agent and vars(report.agent),
        "kept": report.kept and stored_results.as_values(report.kept),
        "message": message
        and {**vars(message), "body": None if message.body is None else base64.b64encode(message.body).decode()},
        "happened": time.time() - report.age.total_seconds(),
    }


def _as_report(values: dict[str, Any]) -> Report:
    event = values.pop("event")
    reader = _EVENTS[event.pop("kind")]
    message, arguments = values["message"], values["arguments"]
    if message is not None:
        body = None if message["body"] is None else base64.b64decode(message["body"])
        values["message"] = Message(message["size_bytes"], body, message["envelope"])
    if arguments is not None:
        values["arguments"] = lambda: (arguments[0], arguments[1])
    agent, kept = values.get("agent"), values.get("kept")  # an older version of the tracker may have left the report
    values["agent"] = agent and AgentWord(**agent | {"step": Step(agent["step"])})
    values["kept"] = kept and stored_results.from_values(kept)
    values["eta"] = datetime.fromisoformat(values["eta"]) if values["eta"] else None
    values["happened"] = time.monotonic() - max(0.0, time.time() - values["happened"])
    return Report(**values | {"event": reader.validate_python(event)})
