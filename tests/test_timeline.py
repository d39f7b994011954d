"""The timeline: what a history shows of processes, executions, faults, and of what was said of tasks."""

from __future__ import annotations

from harness._history import History, Kind
from harness._timeline import TASKS_SHOWN, Bar, Lane, Timeline, draw

TASK = "0123456789ab"


def history_of_a_death() -> History:
    """A worker is killed while it executes a task, whose record tells it late; another life of the worker follows."""
    history = History()
    begun = Kind.OPERATION, "invoke", "start worker"
    history.append(*begun, process="a@x", at=100.0)
    history.append(Kind.TRUTH, "info", "worker ready", process="a@x", value={"pid": 7, "life": "worker-a"}, at=101.0)
    history.append(Kind.OPERATION, "invoke", "publish", process="client", task=TASK, value={"task": "hold"}, at=101.5)
    history.append(Kind.OPERATION, "ok", "publish", process="client", task=TASK, at=101.6)
    running = {"pid": 8, "life": "worker-a", "execution": "e1"}
    history.append(Kind.TRUTH, "info", "start", process="a@x", task=TASK, value=running, at=102.0)
    history.append(Kind.OBSERVATION, "info", "record", task=TASK, value={"status": "STARTED"}, at=102.5)
    history.append(Kind.FAULT, "inject", "kill", value={"number": 0, "target": "worker-a"}, at=103.0)
    died = {"number": 0, "target": "worker-a", "evidence": {"killed": [7, 8]}}
    history.append(Kind.FAULT, "landed", "kill", value=died, at=103.1)
    history.append(*begun, process="a@x", at=104.0)
    ready = {"pid": 9, "life": "worker-a#2"}
    history.append(Kind.TRUTH, "info", "worker ready", process="a@x", value=ready, at=105.0)
    history.append(Kind.OBSERVATION, "info", "unchanged", task=TASK, at=106.0)
    history.append(Kind.OBSERVATION, "info", "record", task=TASK, value={"status": "REVOKED"}, at=107.0)
    history.append(Kind.OBSERVATION, "info", "machine", at=110.0)
    history.append(Kind.FAULT, "heal", "kill", value={"number": 0, "target": "worker-a"}, at=120.0)
    return history


def lane(timeline: Timeline, name: str) -> Lane:
    """The lane of this name."""
    (found,) = [each for each in timeline.lanes if each.name == name]
    return found


def spans(bars: list[Bar] | tuple[Bar, ...] | object) -> list[tuple[str, float, float]]:
    """Kind, start and end of each, rounded."""
    assert isinstance(bars, list)
    return [(bar.kind, round(bar.start, 3), round(bar.end, 3)) for bar in bars]


def test_each_life_of_a_worker_is_a_lane() -> None:
    """A lane shows when a process started, from when it was up, and when it died."""
    drawn = draw(history_of_a_death().entries)

    assert spans(lane(drawn, "worker-a").rows[0]) == [("starting", 0.0, 1.0), ("up", 1.0, 3.1)]
    assert spans(lane(drawn, "worker-a#2").rows[0]) == [("starting", 4.0, 5.0), ("up", 5.0, 10.0)]


def test_an_execution_ends_with_its_process() -> None:
    """What was not journalled as ended lasted until its process was killed."""
    drawn = draw(history_of_a_death().entries)

    assert spans(lane(drawn, "worker-a").rows[1]) == [("executed died", 2.0, 3.1)]
    assert "died after 1.10 s" in lane(drawn, "worker-a").rows[1][0].note


def test_what_was_said_is_held_against_what_was_true() -> None:
    """STARTED is late from the death on; nothing is claimed for the time between two looks that differ."""
    was, said = lane(draw(history_of_a_death().entries), f"hold {TASK[:8]}").rows

    assert spans(was) == [("waiting", 1.6, 2.0), ("executed died", 2.0, 3.1)]
    assert spans(said) == [("said started", 2.5, 3.1), ("said late", 3.1, 6.0), ("said revoked", 7.0, 7.0)]


def test_an_end_while_it_executes_is_untrue() -> None:
    """An end that is said while the task is executed is drawn as untrue, for as long as it is executed."""
    history = History()
    running = {"pid": 8, "life": "worker-a", "execution": "e1"}
    history.append(Kind.TRUTH, "info", "start", task=TASK, value=running, at=1.0)
    history.append(Kind.OBSERVATION, "info", "record", task=TASK, value={"status": "REVOKED"}, at=2.0)
    history.append(Kind.TRUTH, "info", "end", task=TASK, value={**running, "returned": True}, at=3.0)
    history.append(Kind.OBSERVATION, "info", "unchanged", task=TASK, at=4.0)

    (drawn,) = [each for each in draw(history.entries).lanes if each.kind == "task"]

    assert spans(drawn.rows[1]) == [("said untrue", 1.0, 2.0), ("said revoked", 2.0, 3.0)]


def test_what_ends_a_process_is_a_moment() -> None:
    """A kill is a line, whenever the harness cleans up after it; its note tells the evidence."""
    (row,) = draw(history_of_a_death().entries).faults

    assert spans(row) == [("fault", 3.0, 3.0)]
    assert row[0].note == "kill: worker-a (killed [7, 8])"


def test_other_faults_last_until_they_are_healed() -> None:
    """A fault is a band from its injection to its healing, in a row of its own where it meets another one."""
    history = History()
    for number, moment in ((0, 1.0), (1, 2.0)):
        history.append(Kind.FAULT, "inject", "freeze", value={"number": number, "target": "worker-a"}, at=moment)
    history.append(Kind.FAULT, "heal", "freeze", value={"number": 0, "target": "worker-a"}, at=3.0)
    history.append(Kind.OBSERVATION, "info", "machine", at=4.0)

    first, second = draw(history.entries).faults

    assert (spans(first), spans(second)) == ([("fault", 0.0, 2.0)], [("fault", 1.0, 3.0)])
    assert "nothing shows that it landed" in first[0].note


def test_violations_are_marked_where_they_show() -> None:
    """A violation is a mark at its entry's moment, on the lane of its task."""
    history = history_of_a_death()
    shown = next(entry for entry in history if entry.value.get("status") == "REVOKED")

    (mark,) = draw(history.entries, {shown.index: "too late"}).violations

    assert (mark.start, mark.label, mark.note) == (7.0, f"hold {TASK[:8]}", "too late")


def test_executions_side_by_side_have_rows_of_their_own() -> None:
    """Bars of one row never overlap."""
    history = History()
    for number in range(3):
        value = {"pid": 8, "life": "worker-a", "execution": str(number)}
        history.append(Kind.TRUTH, "info", "start", task=str(number), value=value, at=float(number))
    for number in range(3):
        value = {"pid": 8, "life": "worker-a", "execution": str(number), "returned": True}
        history.append(Kind.TRUTH, "info", "end", task=str(number), value=value, at=2.5 + number)

    assert len(lane(draw(history.entries), "worker-a").rows) == 1 + 3


def test_the_tasks_that_violations_are_about_are_never_left_out() -> None:
    """Of many tasks a dozen are drawn, and it is said how many are not; one that is accused always is."""
    history = History()
    for number in range(3 * TASKS_SHOWN):
        history.append(Kind.OBSERVATION, "info", "record", task=f"task{number:04}", at=float(number))
    last = history.entries[-1]

    drawn = draw(history.entries, {last.index: "wrong"})

    shown = [each.name for each in drawn.lanes if each.kind == "task"]
    assert len(shown) == TASKS_SHOWN
    assert shown[-1] == f"task {last.task}"
    assert drawn.left_out == [f"{2 * TASKS_SHOWN} more tasks"]


def test_nothing_is_a_picture_too() -> None:
    """An empty history, and one of a single moment, are drawn without complaint."""
    moment = History()
    moment.append(Kind.OBSERVATION, "info", "record", task=TASK)

    assert draw([]).lanes == []
    assert draw(moment.entries).seconds > 0
