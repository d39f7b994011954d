"""The analysis pipeline: which frame counts, what is made of it, where its file is, and who cleans up."""

from __future__ import annotations

import fcntl
import gzip
import json
import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from celery import Celery
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError
from tenacity import wait_none

from reference_impl.analysis import NotAnalysedError, analyse, files, persistence, rows
from reference_impl.analysis.document import Document, Payload, Standing, gather, upgraded
from reference_impl.analysis.files import NoFileError, clean_leftovers, folder_of, part_of_path, read_whole, write_whole
from reference_impl.analysis.frames import Choice, Frames, Outcome
from reference_impl.analysis.persistence import persist, tend
from reference_impl.cli_tasks import EXIT_FAILED, EXIT_USAGE
from reference_impl.settings import Settings, load_settings
from tests.conftest import API_TOKEN, Tracker

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
FOUND = {"findings": [{"rule": "a"}], "tools_used": ["lint"]}


@pytest.fixture
def settings(registry_database: str, tmp_path: Path) -> Settings:
    """Those of this test's registry, with a directory of results."""
    return load_settings(
        database_url=registry_database,
        spool_directory=tmp_path,
        results_directory=tmp_path / "results",
        results_gzip_bytes=10_000,
        results_keep_s=3600,
        analysis_services={"static": "ws://127.0.0.1:1"},
    )


def of(*choices: Choice, task_id: str = "t", **more: Any) -> Document:
    """A document of what services said."""
    asked: dict[str, Any] = {"target": "shop", "analysis_type": "full", "app_number": 1, "metadata": {}}
    return gather(choices or (said(FOUND),), task_id=task_id, timestamp=NOON, **asked | more)


def said(payload: Any, service: str = "static") -> Choice:
    """A service came to its end."""
    return Choice(service, Outcome.COMPLETED, payload)


def frames(*told: dict[str, Any]) -> Choice:
    """What these frames come to."""
    heard = Frames("static", "t")
    for frame in told:
        if heard.hear(json.dumps(frame)):
            break
    return heard.choose("over")


def test_the_end_counts_whatever_came_before() -> None:
    """Progress, parts, and frames of others."""
    choice = frames(
        {"type": "progress"},
        {"type": "part", "analysis": 1},
        {"type": "static_analysis_result", "task_id": "u", "analysis": 2},
        {"type": "static_analysis_result", "result": 3},
    )

    assert choice == Choice("static", Outcome.COMPLETED, 3)


def test_without_an_end_the_first_part_is_incomplete() -> None:
    """And nothing at all is an error."""
    assert frames({"type": "part", "analysis": 1}, {"type": "part", "analysis": 2}) == Choice(
        "static", Outcome.INCOMPLETE, 1, "over"
    )
    assert frames({"type": "progress"}) == Choice("static", Outcome.ERROR, error="no_response")


def test_what_is_nested_too_deep_is_kept_as_text() -> None:
    """Both stores take it."""
    payload: Any = 1
    for _ in range(300):
        payload = [payload]
    choice = frames({"type": "static_analysis_result", "analysis": {"findings": [], "raw_outputs": {"a": payload}}})

    document = of(choice)

    assert document.summary.status is Standing.COMPLETED
    assert "[[[[" in document.model_dump_json()


def test_a_service_may_end_with_an_error() -> None:
    """Which is its own, and no silence."""
    assert frames({"type": "x_analysis_result", "status": "error", "error": "no tool"}).error == "no tool"


@given(st.text() | st.binary() | ANYTHING.map(json.dumps))
def test_any_frame_may_come(text: str | bytes) -> None:
    """None of them raises."""
    heard = Frames("static", "t")
    heard.hear(text)

    assert heard.choose("over").outcome in Outcome


@given(ANYTHING)
def test_any_payload_is_kept(payload: Any) -> None:
    """Valid or not: nothing of it is lost, and reasons are told where it breaks the schema."""
    document = of(said(payload))

    assert bool(document.invalid) is (document.summary.status is Standing.INVALID)
    assert not document.invalid or document.results.raw_outputs == {"static": payload}
    extra = payload.keys() - Payload.model_fields if isinstance(payload, dict) else set()
    assert document.invalid or not extra or document.results.raw_outputs["static"].keys() == extra


def test_what_two_services_call_by_one_name_is_kept_of_both() -> None:
    """The later one with its name."""
    document = of(said({"tool_results": {"lint": 1}}, "a"), said({"tool_results": {"lint": 2}}, "b"))

    assert document.results.tool_results == {"lint": 1, "lint (b)": 2}


def test_a_document_of_today_is_not_changed() -> None:
    """One of an older layout is brought to this one."""
    today = of().model_dump(mode="json")
    flat = {"task_id": "t", "target": "shop", "analysis_type": "full", "timestamp": NOON.isoformat(), **FOUND}

    assert upgraded(today) == today
    assert Document.model_validate(upgraded(flat)).results.findings == FOUND["findings"]


@given(st.text(), st.text())
def test_parts_of_paths(one: str, other: str) -> None:
    """Harmless, short, and different where the texts are."""
    part = part_of_path(one)

    assert 0 < len(part) <= 100
    assert part[0] != "."
    assert not set(part) & set("/\\\0")
    assert (part == part_of_path(other)) is (one == other)


@pytest.mark.parametrize("name", ["CON", "nul.txt", "com1", "..", "", ".hidden", "x" * 300])
def test_names_that_mean_something_are_encoded(name: str) -> None:
    """Devices, folders, hidden files, and what is too long."""
    assert part_of_path(name) != name


def test_large_files_are_packed(tmp_path: Path) -> None:
    """And are read like any other."""
    folder = folder_of("shop", 1, "full", "t", NOON)
    written = write_whole(tmp_path, folder, b"x" * 50_000, 10_000)

    data = (tmp_path / written.path).read_bytes()
    assert written.path.name == "result.json.gz"
    assert written.size_bytes == len(data) < 1000
    assert gzip.decompress(data) == read_whole(tmp_path, str(written.path)) == b"x" * 50_000
    (tmp_path / written.path).write_bytes(data[:10] + b"broken" + data[16:])
    with pytest.raises(NoFileError):
        read_whole(tmp_path, str(written.path))


def test_who_comes_second_finds_it_written(tmp_path: Path) -> None:
    """Two writers make one file."""
    folder = folder_of("shop", 1, "full", "t", NOON)

    first, second = write_whole(tmp_path, folder, b"{}", 100), write_whole(tmp_path, folder, b"{}", 1)

    assert (first.is_new, second.is_new) == (True, False)
    assert first.path == second.path
    assert (tmp_path / first.path).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["result.json"]


def test_no_link_leads_out(tmp_path: Path) -> None:
    """Neither for writing nor for reading."""
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    (root / "shop").symlink_to(outside, target_is_directory=True)
    (outside / "secret.json").write_text("{}")

    with pytest.raises(OSError, match="leads out"):
        write_whole(root, folder_of("shop", 1, "full", "t", NOON), b"{}", 100)
    with pytest.raises(NoFileError):
        read_whole(root, "shop/secret.json")
    with pytest.raises(NoFileError):
        read_whole(root, "../outside/secret.json")


def test_leftovers_are_cleaned_unless_somebody_writes_them(tmp_path: Path) -> None:
    """A lock tells."""
    dead, alive = (tmp_path / ".partial" / name for name in ("dead", "alive"))
    for folder in (dead, alive):
        folder.mkdir(parents=True)
        (folder / "result.json").write_text("{")
    descriptor = os.open(alive, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)

    assert clean_leftovers(tmp_path) == 1
    assert [path.name for path in (tmp_path / ".partial").iterdir()] == ["alive"]
    os.close(descriptor)
    assert clean_leftovers(tmp_path) == 1
    assert dead.parent.exists()


def test_an_empty_folder_is_no_file(tmp_path: Path) -> None:
    """Whoever has left it there."""
    folder = folder_of("shop", 1, "full", "t", NOON)
    (tmp_path / folder).mkdir(parents=True)

    assert write_whole(tmp_path, folder, b"{}", 100).is_new
    assert read_whole(tmp_path, str(folder / "result.json")) == b"{}"


def test_both_stores(settings: Settings, engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    """Hold the same, and a line tells of it."""
    caplog.set_level(logging.INFO)
    whole = persist(engine, settings, of(metadata={"by": "me"}))

    with engine.connect() as connection:
        row = rows.find(connection, "t")
    assert row is not None
    assert row.file_path is not None
    assert json.loads(read_whole(settings.results_directory, row.file_path)) == row.document
    assert row.document == whole.model_dump(mode="json")
    assert "1 findings, 1 tools, 1 services" in caplog.text


def test_a_second_execution_leaves_one_file(settings: Settings, engine: Engine) -> None:
    """A task that is delivered again writes over what it wrote."""
    persist(engine, settings, of())
    persist(engine, settings, of().model_copy(update={"timestamp": datetime(2026, 5, 5, tzinfo=UTC)}))

    found = [path for path in settings.results_directory.rglob("*") if path.is_file()]
    assert len(found) == 1
    assert "20260505" in str(found[0])


def test_an_earlier_execution_does_not_take_the_place_of_a_later_one(settings: Settings, engine: Engine) -> None:
    """However late it writes its file."""
    later = of().model_copy(update={"timestamp": datetime(2026, 5, 5, tzinfo=UTC)})
    persist(engine, settings, later)

    persistence.write_file(engine, settings, of())

    with engine.connect() as connection:
        row = rows.find(connection, "t")
    found = [path for path in settings.results_directory.rglob("*") if path.is_file()]
    assert row is not None
    assert [str(path.relative_to(settings.results_directory)) for path in found] == [row.file_path]
    assert "20260505" in row.file_path


def test_a_database_that_goes_away_after_the_document_fails_no_task(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The file stays due, and is found by the next sweep."""

    def gone(*_: Any) -> None:
        raise OperationalError("", {}, Exception("gone"))

    monkeypatch.setattr(rows, "note_file", gone)
    persist(engine, settings, of())
    monkeypatch.undo()
    monkeypatch.setattr(persistence, "DUE_AFTER_S", 0.0)
    tend(engine, settings)

    with engine.connect() as connection:
        row = rows.find(connection, "t")
    assert row is not None
    assert (row.file_due, row.file_path is not None) == (False, True)
    assert "is not noted yet: gone" in caplog.text


def test_trouble_is_told_and_made_up_for(
    settings: Settings, engine: Engine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the directory is none, and then is one."""
    monkeypatch.setattr(persistence, "wait_exponential", lambda **_: wait_none())
    monkeypatch.setattr(persistence, "DUE_AFTER_S", 0.0)
    settings.results_directory.write_text("no directory")
    persist(engine, settings, of())
    for _ in range(2):
        tend(engine, settings)
    settings.results_directory.unlink()
    tend(engine, settings)

    with engine.connect() as connection:
        row = rows.find(connection, "t")
    assert row is not None
    assert (row.file_due, row.file_error) == (False, None)
    assert "is not written after 4 attempts" in caplog.text
    assert caplog.text.count("the file of task t: ") == 1


def test_files_go_when_they_are_old(settings: Settings, engine: Engine) -> None:
    """With the folders that are empty then; what is younger stays."""
    for task_id in ("old", "young"):
        persist(engine, settings, of(task_id=task_id, target=task_id))
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE celery_analysis SET completed_at = now() - interval '2 hours' WHERE task_id = 'old'")
        )

    tend(engine, settings)

    assert sorted(path.name for path in settings.results_directory.iterdir()) == [".partial", "young"]
    with engine.connect() as connection:
        row = rows.find(connection, "old")
    assert row is not None
    assert row.document is not None
    assert row.file_path is None


def test_what_cannot_be_begun(settings: Settings, engine: Engine) -> None:
    """Says why, and leaves nothing behind."""
    app = Celery("none", broker="memory://", set_as_current=False)

    with pytest.raises(NotAnalysedError, match="set analysis_services"):
        analyse(app, "shop")
    app.tracking_settings = settings
    with pytest.raises(NotAnalysedError, match="there are static"):
        analyse(app, "shop", services=["statik"])
    with pytest.raises(NotAnalysedError, match="target"):
        analyse(app, "")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM celery_analysis")).scalar() == 0


def test_nothing_is_left_of_what_could_not_be_sent(settings: Settings, engine: Engine) -> None:
    """Where the broker is away."""
    app = Celery("alone", broker="redis://127.0.0.1:1/0", set_as_current=False)
    app.conf.broker_transport_options = {"max_retries": 0, "socket_connect_timeout": 0.1}
    app.conf.task_publish_retry = False
    app.tracking_settings = settings

    with pytest.raises(Exception, match=r"127\.0\.0\.1:1"):
        analyse(app, "shop")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM celery_analysis")).scalar() == 0


@pytest.mark.usefixtures("lives")
def test_over_http(api_url: str) -> None:
    """What is no analysis, and what this API cannot do, has its own answer."""
    with httpx2.Client(base_url=api_url, headers={"Authorization": f"Bearer {API_TOKEN}"}, trust_env=False) as client:
        begun = client.post("/api/analysis/run", json={"target": "shop"})
        asked = {task: client.get(f"/api/analysis/{task}").status_code for task in ("done", "failed", "waiting", "no")}

    assert (begun.status_code, begun.json()["code"]) == (409, "no-application")
    assert asked == {"done": 409, "failed": 409, "waiting": 202, "no": 404}


def test_from_the_command_line(tracker: Tracker, api_url: str) -> None:
    """What is wrong is one line."""
    given = {"CELERY_TRACKER_URL": api_url, "CELERY_TRACKER_TOKEN": API_TOKEN}
    refused = tracker("tasks", "analyse", "shop", **given)
    wrong = tracker("tasks", "analyse", "shop", "--metadata", "x", **given)
    empty = tracker("tasks", "analyse", "", **given)

    assert (refused.returncode, wrong.returncode, empty.returncode) == (EXIT_FAILED, EXIT_USAGE, EXIT_USAGE)
    assert "expected NAME=VALUE" in wrong.stderr
    assert [len(run.stderr.strip().splitlines()) for run in (refused, wrong, empty)] == [1, 1, 1]


def test_half_a_write_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk is full in the middle."""
    monkeypatch.setattr(files, "_put_in_place", _full)

    with pytest.raises(OSError, match="No space"):
        write_whole(tmp_path, folder_of("shop", 1, "full", "t", NOON), b"{}", 100)

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def _full(*_: Path) -> None:
    raise OSError(28, "No space left on device")
