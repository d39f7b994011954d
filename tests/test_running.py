"""What a terminal shows while scenarios run."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from harness._history import History, Kind
from harness._running import RunningLine, held


def reach(directory: Path, mark: str, life: str, pid: int, task: str = "t") -> History:
    """The history of a scenario that runs, in which a task is at a mark."""
    history = History(directory / "history.jsonl")
    value = {"mark": mark, "life": life, "pid": pid}
    history.append(Kind.TRUTH, "info", "mark", process=f"{life}@x", task=task, value=value)
    return history


def test_a_mark_is_held_until_it_is_released(tmp_path: Path) -> None:
    """By the file that releases it."""
    reach(tmp_path, "working", "worker-a", 7)

    before = held(tmp_path)
    (tmp_path / "released").mkdir()
    (tmp_path / "released" / "t.working").touch()

    assert before == ["working held in worker-a"]
    assert held(tmp_path) == []


def test_the_dead_hold_nothing(tmp_path: Path) -> None:
    """A mark that a killed process had reached is not held any more."""
    history = reach(tmp_path, "working", "worker-a", 7)
    history.append(Kind.FAULT, "inject", "kill", value={"number": 0, "target": "worker-a"})
    landed = {"number": 0, "target": "worker-a", "evidence": {"killed": [7]}}
    history.append(Kind.FAULT, "landed", "kill", value=landed)

    assert held(tmp_path) == []


def test_a_line_that_is_being_written_is_left_for_later(tmp_path: Path) -> None:
    """Another process writes the history, and may be in the middle of it."""
    history = reach(tmp_path, "working", "worker-a", 7)
    assert history.path is not None
    with history.path.open("a") as file:
        file.write('{"index": 1, "kind": "truth", ')

    assert held(tmp_path) == ["working held in worker-a"]
    assert held(tmp_path / "not begun") == []


def test_the_line_makes_way_for_whatever_is_written(tmp_path: Path) -> None:
    """It is erased before, drawn again after, cut to the width, and gone for good at the end."""
    written: list[str] = []
    running = RunningLine(written.append, lambda: 40)
    reach(tmp_path, "working", "worker-a", 7)

    running.began("test_file.py::test_one", tmp_path)
    with running.aside():
        written.append("a verdict\n")
    running.ended("test_file.py::test_one")
    running.stop()

    line = "\r\x1b[K  running: test_one [working held in wo"
    drawn = [text for text, _ in groupby(written)]  # a second may pass at any time, and it is drawn again
    assert drawn == ["\r\x1b[K", line, "\r\x1b[K", "a verdict\n", line, "\r\x1b[K"]
    assert len(line) == 39 + len("\r\x1b[K")
