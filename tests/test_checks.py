"""Checks on histories typed by hand: what passes, what fails by which violation, and what nobody can tell.

The scenes build on one story: a worker is ready at 0, the task `t` is published at 1, starts at 2, and whatever
follows is typed by the test. Moments are seconds on the harness's monotonic clock; wall time runs beside it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

import harness
from harness import Check, Finding, History, Inquiry, Kind, Verdict, certify

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
PID = 100


def wall(at: float) -> str:
    """The wall clock's reading at a moment, as ISO text."""
    return (EPOCH + timedelta(seconds=at)).isoformat()


class Scene:
    """Types a history; each method appends one entry and returns the scene."""

    def __init__(self) -> None:
        self.history = History()

    def add(self, kind: Kind, at: float, type_: str, f: str, **rest: Any) -> Scene:
        """Any entry."""
        self.history.append(kind, type_, f, at=at, wall=wall(at), **rest)
        return self

    def ready(self, at: float = 0.0, pid: int = 1) -> Scene:
        """A worker that sweeps is up."""
        return self.add(Kind.TRUTH, at, "info", "worker ready", value={"pid": pid, "life": "w1"})

    def published(self, at: float = 1.0, type_: str = "ok", **value: Any) -> Scene:
        """The task was published."""
        return self.add(Kind.OPERATION, at, type_, "publish", task="t", value={"seconds": 0.01} | value)

    def truth(self, f: str, at: float, execution: str = "e1", pid: int = PID, node: str = "w1", **value: Any) -> Scene:
        """The journal's line about an execution of the task."""
        who = {"execution": execution, "pid": pid, "life": node}
        return self.add(Kind.TRUTH, at, "info", f, process=node, task="t", value=who | value)

    def started(self, at: float = 2.0, execution: str = "e1", pid: int = PID, node: str = "w1") -> Scene:
        """An execution begins."""
        return self.truth("start", at, execution, pid, node)

    def returned(self, at: float, execution: str = "e1") -> Scene:
        """An execution returns."""
        return self.truth("end", at, execution, returned=True)

    def raised(self, at: float, execution: str = "e1") -> Scene:
        """An execution raises."""
        return self.truth("end", at, execution, raised="ValueError")

    def record(self, at: float, status: str | None = None, **value: Any) -> Scene:
        """The task's record was looked at."""
        shown = value if status is None else {"status": status} | value
        return self.add(Kind.OBSERVATION, at, "info", "record", task="t", value=shown)

    def saw(self, f: str, at: float, task: str | None = None, **value: Any) -> Scene:
        """Something else was looked at."""
        return self.add(Kind.OBSERVATION, at, "info", f, task=task, value=value)

    def trail(self, at: float, *steps: dict[str, Any]) -> Scene:
        """The task's trail was looked at."""
        return self.saw("audit", at, "t", trail=list(steps))

    def fault(self, type_: str, at: float, number: int = 0, name: str = "kill", **evidence: Any) -> Scene:
        """A fault is injected, has landed, or is healed."""
        return self.add(Kind.FAULT, at, type_, name, value={"number": number, "target": "w1", "evidence": evidence})

    def killed(self, at: float, pid: int = PID) -> Scene:
        """A process was killed, and that is proved."""
        return self.fault("inject", at).fault("landed", at + 0.01, killed=[pid])

    def swept(self, at: float, type_: str = "ok", flags: list[str] | None = None, **value: Any) -> Scene:
        """The sweep command was run."""
        return self.add(Kind.OPERATION, at, type_, "sweep", value={"flags": flags or [], "errors": ""} | value)

    def planted(self, type_: str, status: str) -> Scene:
        """A record was written past the subject."""
        return self.add(Kind.OPERATION, 3.0, type_, "plant", value={"status": status})

    def rewritten(self, *, accepted: bool) -> Scene:
        """A foreign status was written over a record's own."""
        return self.saw("rewrite", 3.1, "p", status="LOST", accepted=accepted)

    def logged(self, *lines: str) -> Scene:
        """The worker's log was read."""
        return self.saw("log", 9.0, log="w1", lines=list(lines))


def beating(at: float) -> Scene:
    """The task executes, and had a heartbeat."""
    return scene().record(at, "STARTED", last_heartbeat=wall(at))


def step(
    before: str | None, after: str, *, at: float = 2.0, refused: bool = False, who: str = "w1", why: str = "because"
) -> dict[str, Any]:
    """One row of a trail."""
    return {"from_status": before, "to_status": after, "at": wall(at), "refused": refused, "who": who, "why": why}


def sessions(at: float, **counts: int) -> dict[str, Any]:
    """A look at the database's sessions."""
    return {"at": at, "idle_in_transaction": 0, "locks": 0, "connections": 3} | counts


def scene() -> Scene:
    """A steady beginning: a worker is ready, the task is published and starts."""
    return Scene().ready().published().started()


def worked(took_s: float, *, ends: int = 1) -> Scene:
    """A task took half a second from its publication to its end, another one this long."""
    told = Scene()
    for number, (task, lasts_s) in enumerate((("u", 0.5), ("t", took_s))):
        at = 1.0 + 10 * number
        told.add(Kind.OPERATION, at, "invoke", "publish", task=task)
        for _ in range(ends if task == "t" else 1):
            told.add(Kind.TRUTH, at + lasts_s, "info", "end", task=task)
    return told


def finding(says: str, reason: str) -> dict[str, str]:
    """One finding of the sweep command about the task."""
    return {"task_id": "t", "liveness": says, "why": reason}


BUSY = {"is_running": True, "current_task_id": "t", "current_phase_message": "at work", "last_error": None}
IDLE = {"is_running": False, "current_task_id": None, "current_phase_message": None, "last_error": None}
HALF = {"t": {"told": {"current": 1}}}
ENDED = {"completed_at": wall(5), "started_at": wall(2), "queued_at": wall(1)}
BEATS = [2.0 + 0.5 * number for number in range(9)]

live = harness.live_tasks_untouched()
dead = harness.dead_tasks_closed(3.0)
found = harness.accounted_for(["t"], 3.0)
once = harness.executed("t", exactly=1)
kept_back = harness.end_kept_back("t")
unharmed = harness.outcome_unharmed({"t": ("SUCCESS", "'done'")})
kept = harness.ends_kept({"t": {"status": "FAILURE", "error_message": ("fails",)}}, result_limit_bytes=100)
closed = harness.closed_once(["t"])
legal = harness.transitions_legal(["t"])
whole = harness.ends_kept({"t": {"status": "SUCCESS"}}, result_limit_bytes=1000, truncated={"t": 5000})
accounted = harness.signals_accounted("t", [("w1", "prerun:1"), ("w1", "success:1"), ("w1", "failure:1")])
fenced = harness.signals_accounted("t", [("w1", "prerun:1"), ("w2", "prerun:2"), ("w1", "success:1")])
announced_late = harness.signals_accounted(
    "t", [("w1", "prerun:1"), ("w1", "success:1"), ("c", "published"), ("c", "published")]
)
lenient = harness.signals_accounted(
    "t", [("w1", "published"), ("w1", "prerun:1"), ("w1", "prerun:1"), ("w1", "retry:1"), ("w1", "retry:1")]
)
trail_told = harness.audited("t", [(None, "PENDING", "client", "because"), ("PENDING", "STARTED", "w1", "")])
six = harness.statuses_of_six("LOST")
young = harness.untouched_until("t", 3.0)
says = harness.sweep_says({"t": ("dead", "silent")})
beats = harness.heartbeat_moves("t", 0.5, 2.0)
held = harness.gil_was_held("t", 2.0)
guarded = harness.cleanup_guarded("t", "--force")
stands = harness.heartbeat_stands("t", "stopped", "goes on")
unchanged = harness.unchanged_between("t", "broken", "mended", "changed-blindly")
argued = harness.arguments_stored({"t": ["ann"]})
delivered = harness.arguments_delivered({"t": "[1]"})
bounded = harness.arguments_bounded("t", 100, 5000)
identified = harness.worker_identified({"t": "w1"})
nobody = harness.worker_identified({"t": None})
said_of_one = harness.logged_once("the node", "ERROR", ["outage", "a@outage"], "w1", kind="silent")
one_line = harness.logged_once("the outage", "ERROR", ["outage"], "w1", kind="silent")
failures = harness.failures_logged([("w1", "t", "refused")])
up = harness.still_up(["w1"])
tidy = harness.no_leaks()
timed = harness.times_true(["t"], 0.5)
zoned = harness.times_true(["t"], 0.5, zones={"w1": 20_700.0})
queued = harness.queue_time_told("t")
in_time = harness.published_in_time("t", 1.0)

ended = harness.ended_once(["t"])
zombie = harness.zombie_fenced("t", "SUCCESS")
duplicate = harness.duplicate_reported("t", "visibility_timeout", log="w1")
way = harness.went_through("t", "PENDING", "STARTED")
reads = harness.reads_only_open(1000, "status", "worker_id")
schema = harness.schema_kept()
went_on = harness.work_went_on(["t"], ["u"], 5.0)
named_failures = harness.failures_told({"t": ["w1"]})
stuck = harness.stuck_told(stuck=["t"], moving=["u"])
tracked = harness.all_tracked(["t"])
apart = harness.connections_apart(at_least=2)
revoked_told = harness.metrics_told("after", {"revoked": 1})
errors_told = harness.errors_counted("after", at_least=1)
open_told = harness.open_tasks_told("after")
open_untold = harness.open_tasks_told("after", askable=False)
sweeps_told = harness.sweeps_counted(1.0)
closings_told = harness.closings_logged(2)
listed = harness.arguments_are("t", [1, [2]], pair=[3])
given = harness.results_given({"t": [1]}, surfaces=["api"])
given_to_commands = harness.results_given({"t": [1]}, surfaces=["cli"])
status_told = harness.status_true(["t"])
expired = harness.answers_apart({"t": "expired"})
pending = harness.answers_apart({"t": "pending"})
within_limits = harness.wait_bounded("t", "wait-within", exit_code=124, words=["--timeout"])
partial = harness.partial_kept("t", good={"n": 1}, bad={"l": "lock"})
streamed = harness.large_streamed("t", size=9, sha256="ab", inline_bytes=5, memory_bytes=100)
explained = harness.error_told("t", code="exception", words={"type": ["ValueError"]}, secrets=["hunter2"])
expiring = harness.expiry_effective("t", result_s=3.0)
forgotten = harness.forgotten_by_backend("t", within_s=3.0)

agreeing = harness.surfaces_agree(["t"], ("api", "cli"))
sane = harness.progress_sane(["t"], malformed=["t"], log="w1")
told_who_waits = harness.waiting_told("t", within_s=2.0, by="wait", hindered=["held_back"])
watched_by_two = harness.watchers_told("t", readers=2, within_s=2.0, listeners=1)
last_is_the_end = harness.end_shown_last("t", within_s=2.0)
paced = harness.pace_kept("t", wait_s=10.0, requests=9, slack_s=0.5)
kept_apart = harness.kept_out(leaks=["secret"], well={"t": 1})

linked = harness.agent_linked("planner", "t")
idle = harness.agent_idle("planner", "t", memory=True)
idle_soon = harness.agent_idle("planner", "t", within_s=3.0, error="no such town")
belongs = harness.agent_belongs("planner", "u", after="t")
kept_progress = harness.progress_kept("planner", "t", for_s=1.0)
row_cleaned = harness.cleaned_without("planner", "t", away="progress")
progress_cleaned = harness.cleaned_without("planner", "t", away="row")
transitions_told = harness.transitions_logged("planner", "t")

DEAD = ("record-without-live-task", "t")
named_stale = harness.stale_named(DEAD)
nothing_stale = harness.stale_named()
three_alike = harness.reports_agree()
unwell = harness.health_told("api", well=False, stale=["points-at-nothing"], stores={"database": True})
still_well = harness.health_told("api", well=True, stores={"progress": False})
monitored = harness.monitors_agree(executing=["t"], stuck=["t"], cleared=["u"], kept=["v"])
paced_checks = harness.checks_paced(1.0)
overran = harness.overruns_told(over=["t"], within=["u"])
rated = harness.rates_told(succeeded=3, failed=1)

true_figures = harness.figures_true(active=1, completed=3, failed=1, success_rate=0.75)
workers_away = harness.absence_told("workers", within_s=5.0, keeps={"completed": 3})
registry_away = harness.absence_told("registry", within_s=5.0)
newest = harness.recent_first(["u", "t"])
lines_told = harness.lines_true(
    {"t": {"status": "completed", "name": "Send", "completed_at": datetime(2026, 1, 1, tzinfo=UTC), "worker": ...}},
    leaks=["hunter2"],
)
left_alone = harness.keys_left_alone(within_ms=50.0, waited_s=1.0)
two_malformed = harness.malformed_told(2, logged=["t", "u"])
each_once = harness.pages_whole(["t", "u"])
one_gathering = harness.gathered_once(ttl_s=5.0, gathers_in_s=0.5)
measured_view = harness.view_measured(failed="registry")

both_stores = harness.stores_agree("t", metadata={"by": "me"}, packed=False)
dropped = harness.not_kept("t")
right_frame = harness.document_is("t", {"summary.status": "completed", "invalid": [], "target": ...}, within_s=5.0)
whole_files = harness.files_whole()
inside = harness.nothing_outside()
told_of_writes = harness.writes_logged({"t": ["INFO", "findings"]})
survived = harness.trouble_survived("t")
by_policy = harness.files_kept(kept=["t"], removed=["u"])
measured_files = harness.persisting_measured(writes=2)

LIVED = (step(None, "STARTED"), step("STARTED", "SUCCESS"))
AGAIN, TWICE = step("STARTED", "STARTED"), (step(None, "STARTED"), step("STARTED", "STARTED"))
LATE, FATAL = step("SUCCESS", "FAILURE", refused=True), step("SUCCESS", "FAILURE")
EARLY, REFUSED_START = step("STARTED", "SUCCESS", refused=True), step("STARTED", "STARTED", refused=True)
AGAIN_ANNOUNCED = step("SUCCESS", "PENDING", refused=True)
NONE_OPEN = {"open_pending": 0, "open_started": 0, "open_retry": 0}
SMALL = {"truncated": True, "original_bytes": 5000, "preview": "x"}


def heard(*moments: float) -> Scene:
    """The task is held at a mark from 2 to 6.5, and its heartbeats were seen at these moments."""
    told = scene().truth("mark", 2.0)
    for moment in moments:
        told.record(moment, "STARTED", last_heartbeat=wall(moment))
    return told.returned(6.5)


def timely() -> Scene:
    """The task returned, its record has true times, and the log tells nothing."""
    return scene().returned(5).record(6, "SUCCESS", **ENDED).logged()


def prefetched(busy_until: float | None, started_at: str) -> Scene:
    """The worker had the message a minute before the task began; its process did something else until then, or not."""
    told = Scene().ready().published(at=0.05).truth("received", 0.1).logged()
    if busy_until is not None:
        other = {"execution": "e0", "pid": PID, "life": "w1", "returned": True}
        told.add(Kind.TRUTH, busy_until, "info", "end", process="w1", task="u", value=other)
    told.started(60).truth("end", 61, returned=True)
    return told.record(62, "SUCCESS", queued_at=wall(0.05), started_at=started_at, completed_at=wall(61))


def blind() -> Scene:
    """A sweep command without proof of the broker, refused with a message that helps."""
    return scene().record(3, "STARTED").swept(4, "fail", report={"broker_works": False}, errors="or give --force")


def woken(*steps: dict[str, Any], status: str = "REVOKED") -> Scene:
    """A worker stood still, its task was swept meanwhile, and it returned when it woke; the trail tells these steps."""
    asleep = scene().record(5, "REVOKED").fault("heal", 6, name="freeze")
    return asleep.returned(7).record(8, status).trail(8, *steps)


def twice(why: str, line: str) -> Scene:
    """A second execution begins while the first one runs: what the trail says of it, and the log."""
    both = scene().started(3, "e2", 200, "w2").returned(5).returned(6, "e2")
    return both.trail(7, step("PENDING", "STARTED"), step("STARTED", "STARTED", why=why)).logged(line)


def counted(scans: int = 0, entries: int = 4, index: str = "(status, worker_id)") -> Scene:
    """What the database counted, before and after sweeps."""
    indexes = {f"CREATE INDEX x ON registry USING btree {index}": {"scans": 0, "entries": 0}}
    after = {name: {"scans": int(bool(entries)), "entries": entries} for name in indexes}
    looks = scene().saw("reads", 3, scans=1, rows=9, indexes=indexes)
    return looks.saw("reads", 5, scans=1 + scans, rows=9 + 1000 * scans, indexes=after)


def scraped(*lines: str, seconds: float = 0.1, asked: bool = True, **told: float | None) -> Scene:
    """The task runs, two scrapes were made of its worker, the second of which told this, and the log was read.

    Where they could not be `asked` for, the second tells nothing of open tasks.
    """
    names = ("tracking_errors", "sweeps", "sweep_seconds", "revoked", "open_pending", "open_started", "open_retry")
    before: dict[str, float | None] = {**dict.fromkeys(names, 0.0), "open_started": 1.0}
    if not asked:
        told = dict.fromkeys(NONE_OPEN) | told
    looks = scene().record(3, "STARTED")
    for at, when, values in ((4.0, "before", before), (6.0, "after", before | told)):
        looks.saw("metrics", at, worker="w1@x", when=when, told=values, asked=at, seconds=seconds)
    return looks.saw("log", 9.0, log="worker-w1", lines=list(lines))


def migrated(after: list[dict[str, Any]], compared: str = "ok") -> Scene:
    """Two rows were looked at, on the older schema too, and after the migrations; the schema was compared."""
    both = [{"id": 1, "name": "a", "new": 0}, {"id": 2, "name": "b", "new": 0}]
    older = [{name: row[name] for name in ("id", "name")} for row in both]
    looks = scene()
    for at, rows in ((3.0, both), (4.0, older), (5.0, after)):
        looks.saw("rows", at, tables={"registry": rows})
    return looks.add(Kind.OPERATION, 6.0, compared, "compare", value={"errors": "one column more", "report": None})


def stalled(*tasks: str) -> Scene:
    """A sweep command told of two tasks, and of these that they are stuck."""
    findings = [{"task_id": task, "stuck": task in tasks} for task in ("t", "u")]
    return scene().swept(4, report={"findings": findings})


def ran(*, eager: bool = False) -> Scene:
    """The task was executed, by a worker or where it was called."""
    return Scene().ready().published().truth("start", 2.0, eager=eager).returned(5)


def forked(parent: str, child: str, *, backends: tuple[int, int] = (1, 2)) -> Scene:
    """A worker and its child each hold a socket, and each has had a session."""
    sockets = scene().saw("sockets", 3, worker="w1", held={"1": [parent], "100": [child]})
    return sockets.truth("session", 2, pid=1, backend=backends[0]).truth("session", 3, backend=backends[1])


def answered(at: float = 6.0, status: int = 200, asked: str = "result", body: Any = None, **more: Any) -> Scene:
    """The task returned at 5, and an API was asked about it."""
    return scene().returned(5).saw("answer", at, "t", **answer(status, asked, body, **more))


def answer(status: int, asked: str, body: Any, **more: Any) -> dict[str, Any]:
    """What an API answered."""
    return {"surface": "api", "asked": asked, "status": status, "body": body, "fields": None, "headers": {}} | more


def printed(body: Any = None, exit_code: int = 0, asked: str = "result", **more: Any) -> dict[str, Any]:
    """What a command printed."""
    shown = {"body": body, "exit_code": exit_code, "printed": exit_code == 0, "errors": "", "fields": None}
    return {"surface": "cli", "asked": asked, "timeout_s": None, "seconds": 0.1} | shown | more


def status_of(**other: Any) -> dict[str, Any]:
    """The true status of the task, but for what is given."""
    true = {"status": "SUCCESS", "ready": True, "successful": True, "worker": "w1", "attempts": 1, "run_seconds": 3.0}
    return {"task_id": "t", "started_at": wall(2), "completed_at": wall(5)} | true | other


def told_status(**other: Any) -> Scene:
    """The task's status was asked for after its end."""
    return answered(8.0, asked="status", fields=status_of(**other))


def waits(*runs: tuple[float, float, int], errors: str = "or a longer --timeout") -> Scene:
    """Commands waited: the limit of each, how long it took, and its exit code."""
    told = scene()
    for number, (limit, took, code) in enumerate(runs):
        said = printed(None, code, "wait-within", timeout_s=limit, seconds=took, errors=errors)
        told.saw("answer", 3.0 + number, "t", **said)
    return told


def in_part(body: Any, mark: str | None, value: str = "{'n': 1}", state: str = "SUCCESS") -> Scene:
    """The result of a task was asked for that cannot be stored as a whole."""
    return answered(body=body, headers={"partial": mark}).saw("result", 7, "t", state=state, value=value, error="")


def in_pieces(via: tuple[int, ...] = (303,), held: int = 2, grown: int = 50, **other: Any) -> Scene:
    """A large result was asked for; what the backend has of it, and by how much the API has grown."""
    got: dict[str, Any] = {"via": list(via), "size": 9, "sha256": "ab", "headers": {"size": "9"}} | other
    looks = answered(**got).saw("stored", 7, "t", bytes=held, ttl_s=1.0)
    for at, peak in ((1.0, 1000), (8.0, 1000 + grown)):
        looks.saw("memory", at, process="api", peak_bytes=peak)
    return looks


def explaining(error: Any, shown: str = "") -> Scene:
    """A failure was asked for through the API and by a command, which prints it so."""
    told = answered(asked="status", fields={"error": error}, body={"error": error})
    return told.saw("answer", 7, "t", **printed(shown, 0, "get", fields={"error": error}))


def lapsing(after_s: float = 3.0, ttl_s: float | None = 2.0) -> Scene:
    """A status tells when the result expires, and the backend for how long it has it."""
    fields = {"completed_at": wall(5), "result_expires_at": wall(5 + after_s)}
    return answered(asked="status", fields=fields).saw("stored", 7, "t", bytes=2, ttl_s=ttl_s)


def two_surfaces(**other: Any) -> Scene:
    """The status of a task that has returned was asked for through the API and by a command, which says this."""
    told = answered(asked="status", fields=status_of())
    return told.saw("answer", 7, "t", **printed(asked="get", fields={**status_of(), **other}))


def progressing(shown: Any, *lines: str, status: int = 200) -> Scene:
    """The task said something of its progress at 3, which is shown so at 4, and logged so."""
    told = scene().truth("mark", 3.0, mark="working")
    fields = {"status": "STARTED", "progress": shown} if status == 200 else None
    return told.saw("answer", 4, "t", **answer(status, "status", None, fields=fields)).logged(*lines)


def looked_on(*seen: tuple[float, str, int], who: str = "reader 1") -> Scene:
    """Somebody was shown the task at moments; it returned at 5, and an answer that was held back was let go at 6."""
    made = scene().returned(5).fault("heal", 6.0, name="hold answer")
    for at, status, current in seen:
        fields = {"status": status, "progress": {"current": current, "total": 4}}
        made.saw("answer", at, "t", surface="socket", asked="status", reader=who, status=200, fields=fields)
    return made


def asking(*waited: float, hasty: bool = True) -> Scene:
    """Requests came after these waits, whose pauses were left out, or were not."""
    made = scene()
    moments = [10.0 + number / 1000 for number, _ in enumerate(waited)]
    for moment, (before, wait) in zip(moments[1:], pairwise(waited), strict=True):
        if hasty:
            made.truth("pause", moment, seconds=wait - before, left_out_s=wait - before)
    return made.saw("middlebox", 20.0, moments=moments)


def waited(at: float = 6.0, exit_code: int = 0, status: str = "SUCCESS", held_back: int = 1) -> Scene:
    """A command that waited through a middlebox ended; the task had returned at 5."""
    told = scene().returned(5)
    told.saw("answer", at, "t", **printed(None, exit_code, "wait", fields={"status": status}))
    return told.saw("middlebox", 9, requests=1, sockets=1, held_back=held_back)


def two_readers(*heard: tuple[float, int, str], count: int = 1) -> Scene:
    """The task returned at 5; one reader hears of it as it should, the other this; so many connections listen."""
    told = scene().returned(5).saw("listeners", 3, count=count)
    for reader, messages in (("one", ((3.0, 1, "STARTED"), (5.1, 2, "SUCCESS"))), ("two", heard)):
        told.saw("socket", 8, reader=reader, opened=True, refused=None, closed=1000)
        for at, number, status in messages:
            pushed = {"surface": "socket", "reader": reader, "body": {"sequence": number}, "fields": {"status": status}}
            told.saw("answer", at, "t", asked="status", status=200, **pushed)
    return told


def tried(status: int = 401, body: Any = None, afterwards: int = 200, *, opened: bool = False) -> Scene:
    """Somebody without a token asked, and was answered so; a socket was tried; then the task's result was asked for."""
    told = scene().saw("forbidden", 3, what="no token", allowed=[401], answer={"status": status, "body": body})
    told.saw("socket", 3.5, reader="r", opened=opened, refused=None if opened else 403, closed=None)
    return told.saw("answer", 4, "t", **answer(afterwards, "result", 1))


PROGRESS = {"current": 1, "total": 2, "percent": 50.0, "message": "x", "at": wall(3)}
NO_SENSE = "WARNING: progress of task t: current is nan"

NO_TIMES = {"code": "expired", "completed_at": wall(5)}
BOTH_TIMES = NO_TIMES | {"expired_at": wall(7)}
STILL_KNOWN = answer(200, "status", None, fields={"status": "SUCCESS"})
ERROR = {"code": "exception", "type": "ValueError", "message": "it fails"}

NAMED = "a duplicate; visibility_timeout is too short"
WARNED = f"WARNING task t: {NAMED}"

PASSING: list[tuple[Check, Scene]] = [
    (live, scene().record(3, "STARTED").returned(5).record(6, "SUCCESS")),
    (live, scene().record(2.1, "PENDING").record(3, "STARTED").returned(5)),
    (live, scene().record(3, "STARTED").killed(4).record(6, "REVOKED")),
    (dead, scene().killed(4).record(6.9, "REVOKED")),
    (dead, scene().killed(4).started(6.9, "e2", 200, "w2").returned(21, "e2")),
    (dead, scene().killed(4).fault("heal", 10).record(12.9, "REVOKED")),
    (dead, scene().fault("inject", 4).fault("landed", 6.1, killed=[PID], died_at=6.0).record(8.9, "REVOKED")),
    (found, scene().returned(5).record(7.9, "SUCCESS")),
    (found, scene().killed(4).record(6.9, "REVOKED")),
    (found, scene().killed(4).fault("heal", 10, name="hold rows").record(12.9, "REVOKED")),
    (found, scene().killed(4).started(20, "e2", 200, "w2").returned(21, "e2").record(23, "SUCCESS")),
    (found, scene().returned(3).killed(4).record(5, "STARTED").record(6.9, "REVOKED")),
    (found, scene().record(6.9, "REVOKED").returned(8)),
    (once, scene().returned(5)),
    (unharmed, scene().saw("result", 6, "t", state="SUCCESS", value="'done'", error="")),
    (kept_back, scene().saw("state", 6, "t", state="STARTED", error="")),
    (kept, scene().record(6, "FAILURE", completed_at=wall(5), error_message="it fails", result=None)),
    (
        closed,
        scene().trail(6, step(None, "STARTED"), step("STARTED", "SUCCESS"), step("SUCCESS", "FAILURE", refused=True)),
    ),
    (
        legal,
        scene()
        .record(6, "SUCCESS")
        .trail(6, step(None, "PENDING"), step("PENDING", "STARTED"), step("STARTED", "SUCCESS")),
    ),
    (whole, scene().record(6, "SUCCESS", completed_at=wall(5), result=SMALL)),
    (accounted, scene().record(6, "SUCCESS", attempts=1).trail(6, *LIVED, LATE)),
    (announced_late, scene().record(6, "SUCCESS", attempts=1).trail(6, *LIVED, AGAIN_ANNOUNCED)),
    (announced_late, scene().record(6, "SUCCESS", attempts=1).trail(6, *LIVED, AGAIN_ANNOUNCED, AGAIN_ANNOUNCED)),
    (fenced, scene().record(6, "STARTED", attempts=2).trail(6, *TWICE, step("STARTED", "SUCCESS", refused=True))),
    (
        lenient,
        scene()
        .record(6, "RETRY", attempts=2)
        .trail(6, step(None, "PENDING"), step("PENDING", "STARTED"), AGAIN, step("STARTED", "RETRY")),
    ),
    (
        lenient,
        scene()
        .record(6, "RETRY", attempts=1)
        .trail(
            6,
            step(None, "PENDING"),
            step("PENDING", "STARTED"),
            step("STARTED", "STARTED", refused=True),
            step("STARTED", "RETRY"),
            step("RETRY", "RETRY", refused=True),
        ),
    ),
    (trail_told, scene().trail(6, step(None, "PENDING", at=1, who="client"), step("PENDING", "STARTED", at=2))),
    (
        trail_told,
        scene()
        .record(2.1, "STARTED")
        .trail(6, step(None, "PENDING", at=1.9, who="client"), step("PENDING", "STARTED", at=2.9)),
    ),
    (six, scene().record(3, "STARTED").planted("ok", "PENDING").planted("fail", "LOST").rewritten(accepted=False)),
    (young, scene().record(3, "STARTED").record(6, "REVOKED", **ENDED)),
    (says, scene().swept(4, report={"findings": [finding("dead", "it is silent")]})),
    (beats, heard(*BEATS)),
    (held, scene().truth("tick", 2.0).truth("gil released", 5.0)),
    (guarded, blind().record(5, "STARTED")),
    (guarded, blind().swept(5, flags=["--force"], report={"broker_works": False}).record(6, "REVOKED")),
    (stands, beating(3).saw("stopped", 4).saw("goes on", 6).record(7, "STARTED", last_heartbeat=wall(7))),
    (
        unchanged,
        scene().record(3, "STARTED").saw("broken", 4).record(5, "STARTED", last_heartbeat=wall(5)).saw("mended", 6),
    ),
    (
        unchanged,
        scene().record(3, "STARTED").saw("broken", 4).record(5, "STARTED").saw("mended", 6).record(7, "REVOKED"),
    ),
    (argued, scene().record(6, "SUCCESS", args=["ann"], kwargs={})),
    (delivered, scene().truth("arguments", 2.1, described="[1]")),
    (bounded, scene().record(6, "SUCCESS", args=SMALL, kwargs={})),
    (identified, scene().record(3, "STARTED", worker_id="w1").saw("inspect", 4, nodes={"w1": []})),
    (nobody, scene().record(6, "SUCCESS")),
    (one_line, scene().logged("ERROR the outage begins", "INFO outage")),
    (said_of_one, scene().logged("ERROR a@outage is gone: outage", "ERROR a@outage is back")),
    (failures, scene().logged("ERROR task t was refused")),
    (up, scene().saw("inspect", 9, nodes={"w1": []})),
    (tidy, scene().saw("sessions", **sessions(3)).saw("sessions", **sessions(9))),
    (timed, timely()),
    (timed, timely().record(7, "SUCCESS", **ENDED, last_heartbeat=wall(4))),
    (timed, prefetched(busy_until=59.5, started_at=wall(59.4))),
    (timed, prefetched(busy_until=None, started_at=wall(56))),
    (timed, timely().truth("received", 1.2).record(7, "SUCCESS", **ENDED | {"started_at": wall(1.1)})),
    (timed, timely().truth("received", 1.2).record(7, "SUCCESS", **ENDED, last_heartbeat=wall(1.1))),
    (timed, timely().trail(7, step(None, "PENDING", at=1), step("PENDING", "STARTED"))),
    (timed, timely().trail(7, step("STARTED", "SUCCESS", at=5), step("SUCCESS", "REVOKED", at=6, refused=True))),
    (zoned, timely().truth("clock moved", 0.5, utc_offset_s=20_700)),
    (queued, scene().record(1.5, "PENDING").started().record(6, "SUCCESS", **ENDED)),
    (in_time, scene()),
    (ended, scene().record(6, "SUCCESS", **ENDED).trail(6, *LIVED)),
    (ended, scene().record(6, "SUCCESS", **ENDED).record(7, "SUCCESS", **ENDED).trail(7, *LIVED, LATE)),
    (zombie, woken(step("STARTED", "REVOKED"), step("REVOKED", "SUCCESS", refused=True))),
    (duplicate, twice(NAMED, WARNED)),
    (way, scene().trail(6, step(None, "PENDING"), step("PENDING", "STARTED"), EARLY)),
    (listed, scene().record(6, "SUCCESS", args=[[1, [2]]], kwargs={"pair": [3]})),
    (apart, forked("socket:[7]", "socket:[8]")),
    (revoked_told, scraped(revoked=1)),
    (errors_told, scraped("ERROR one", "ERROR two", tracking_errors=1)),
    (errors_told, scraped("ERROR one", "ERROR two", tracking_errors=2)),
    (open_told, scraped()),
    (open_told, scraped(open_pending=0, open_retry=0)),
    (open_untold, scraped(asked=False)),
    (sweeps_told, scraped(sweeps=1, sweep_seconds=0.2)),
    (sweeps_told, scraped(sweeps=3, sweep_seconds=2.0)),
    (closings_told, scraped("sweep w1 closed 2 of 9 open tasks")),
    (closings_told, scraped("sweep w1 closed 1 of 9 open tasks", "connection closed 5", "sweep w2 closed 1 task")),
    (reads, counted()),
    (went_on, worked(4.0)),
    (named_failures, scene().logged("WARNING: t was not recorded")),
    (schema, migrated([{"id": 1, "name": "a", "new": 7}, {"id": 2, "name": "b", "new": 7}])),
    (stuck, stalled("t")),
    (tracked, ran().record(6, "SUCCESS", name="n", queued_at=wall(1))),
    (tracked, ran(eager=True).record(6, "SUCCESS", name="n")),
]

FAILING: list[tuple[Check, Scene, str]] = [
    (live, scene().record(3, "REVOKED").returned(5), "false-dead"),
    (live, scene().record(3, "RETRY").returned(5), "false-dead"),
    (live, scene().record(3, "STARTED").record(4, "PENDING").returned(5), "false-dead"),
    (live, scene().record(3, "REVOKED").killed(4), "false-dead"),
    (live, scene().returned(5).record(6, "FAILURE"), "false-dead"),
    (dead, scene().killed(4).record(9, "STARTED"), "false-alive"),
    (dead, scene().killed(4), "false-alive"),
    (dead, scene().killed(4).record(6.9, "SUCCESS"), "false-alive"),
    (dead, scene().killed(4).record(6.9, "REVOKED").record(8, "STARTED"), "false-alive"),
    (dead, scene().killed(4).started(20, "e2", 200, "w2").returned(21, "e2"), "false-alive"),
    (dead, scene().killed(4).record(7.1, "REVOKED"), "late"),
    (found, scene().killed(4), "unaccounted"),
    (found, scene().killed(4).record(5, "REVOKED").record(6, "STARTED"), "unaccounted"),
    (found, scene().killed(4).record(5, "STARTED").record(7.1, "REVOKED"), "late-account"),
    (found, scene().killed(4).record(7.1, "REVOKED").fault("inject", 8, 1, "expire visibility"), "late-account"),
    (found, scene().killed(4).record(5, "SUCCESS"), "untrue-end"),
    (found, scene().returned(5).record(6, "FAILURE"), "untrue-end"),
    (once, scene().started(3, "e2"), "duplicate"),
    (once, Scene().ready().published(), "lost"),
    (unharmed, scene().saw("result", 6, "t", state="FAILURE", value="None", error="x"), "task-failed"),
    (unharmed, scene().saw("result", 6, "t", state="SUCCESS", value="'other'", error=""), "wrong-result"),
    (kept, scene().record(6, "SUCCESS", completed_at=wall(5)), "wrong-end"),
    (kept, scene().record(6, "FAILURE", error_message="it fails"), "end-without-time"),
    (kept, scene().record(6, "FAILURE", completed_at=wall(5), error_message=""), "end-without-cause"),
    (
        kept,
        scene().record(6, "FAILURE", completed_at=wall(5), error_message="it fails", result="x" * 200),
        "unbounded-result",
    ),
    (closed, scene().trail(6, step("STARTED", "SUCCESS"), step("SUCCESS", "FAILURE")), "closed-twice"),
    (closed, scene().trail(6, step("STARTED", "REVOKED"), step(None, "REVOKED", refused=True)), "closed-in-vain"),
    (closed, scene().trail(6, step(None, "STARTED")), "not-closed"),
    (
        legal,
        scene().record(6, "STARTED").trail(6, step(None, "REVOKED"), step("REVOKED", "STARTED")),
        "illegal-transition",
    ),
    (legal, scene().record(6, "SUCCESS").trail(6, step(None, "PENDING"), step("STARTED", "SUCCESS")), "broken-trail"),
    (legal, scene().record(6, "SUCCESS").trail(6, step(None, "PENDING")), "broken-trail"),
    (accounted, scene().record(6, "FAILURE", attempts=1).trail(6, *LIVED, LATE), "overwritten-end"),
    (accounted, scene().record(6, "FAILURE", attempts=1).trail(6, *LIVED, FATAL), "overwritten-end"),
    (accounted, scene().record(6, "SUCCESS", attempts=1).trail(6, *LIVED), "unrecorded-refusal"),
    (announced_late, scene().record(6, "SUCCESS", attempts=1).trail(6, *LIVED), "unrecorded-refusal"),
    (accounted, scene().record(6, "SUCCESS", attempts=2).trail(6, *LIVED, LATE), "attempts-miscounted"),
    (accounted, scene().record(6, "SUCCESS").trail(6, *LIVED, LATE), "attempts-miscounted"),
    (accounted, scene().record(6, "FAILURE", attempts=1).trail(6, LIVED[0], EARLY, FATAL), "refused-legal"),
    (accounted, scene().record(6, "SUCCESS", attempts=1).trail(6, LIVED[1], LATE), "unrecorded-signal"),
    (accounted, scene().record(6, "SUCCESS", attempts=1).trail(6, *LIVED, LATE, LATE), "unrecorded-signal"),
    (fenced, scene().record(6, "SUCCESS", attempts=2).trail(6, *TWICE, LIVED[1]), "taken-illegally"),
    (fenced, scene().record(6, "STARTED", attempts=2).trail(6, *TWICE), "unrecorded-refusal"),
    (fenced, scene().record(6, "SUCCESS", attempts=1).trail(6, TWICE[0], REFUSED_START, LIVED[1]), "refused-legal"),
    (whole, scene().record(6, "SUCCESS", completed_at=wall(5)), "unmarked-result"),
    (whole, scene().record(6, "SUCCESS", completed_at=wall(5), result=SMALL | {"preview": ""}), "unmarked-result"),
    (
        whole,
        scene().record(6, "SUCCESS", completed_at=wall(5), result=SMALL | {"original_bytes": 70}),
        "unmarked-result",
    ),
    (trail_told, scene().trail(6, step(None, "PENDING", who="client")), "unaudited"),
    (
        trail_told,
        scene().trail(6, step(None, "PENDING", who="client", why=" "), step("PENDING", "STARTED")),
        "unexplained-transition",
    ),
    (
        trail_told,
        scene().trail(6, step(None, "PENDING", who="somebody"), step("PENDING", "STARTED")),
        "unexplained-transition",
    ),
    (
        trail_told,
        scene().trail(6, step(None, "PENDING", at=3, who="client"), step("PENDING", "STARTED", at=2)),
        "unordered-trail",
    ),
    (
        trail_told,
        scene().trail(6, step(None, "PENDING", at=1, who="client", why="so"), step("PENDING", "STARTED")),
        "unexplained-transition",
    ),
    (
        trail_told,
        scene().trail(6, step(None, "PENDING", at=1, who="client"), step("PENDING", "STARTED", at=3.5)),
        "untrue-time",
    ),
    (
        trail_told,
        Scene()
        .ready()
        .published()
        .record(3.5, "PENDING")
        .saw("unchanged", 4, "t")
        .record(4.1, "STARTED")
        .trail(6, step(None, "PENDING", at=1, who="client"), step("PENDING", "STARTED", at=2)),
        "untrue-time",
    ),
    (
        trail_told,
        Scene()
        .ready()
        .published()
        .record(2, "STARTED")
        .trail(6, step(None, "PENDING", at=1, who="client"), step("PENDING", "STARTED", at=3.5)),
        "untrue-time",
    ),
    (six, scene().record(3, "LOST").planted("fail", "LOST"), "foreign-status"),
    (six, scene().record(3, "STARTED").planted("fail", "LOST").rewritten(accepted=True), "foreign-status-accepted"),
    (six, scene().record(3, "STARTED").planted("ok", "LOST"), "foreign-status-accepted"),
    (young, scene().record(4, "REVOKED", started_at=wall(2), completed_at=wall(3)), "too-young"),
    (young, scene().record(9, "STARTED"), "never-closed"),
    (says, scene().swept(4, report={"findings": [finding("alive", "it is silent")]}), "wrong-liveness"),
    (says, scene().swept(4, report={"findings": [finding("dead", "it is so")]}), "unexplained"),
    (says, scene().swept(4, report={"findings": []}), "unexplained"),
    (beats, heard(2.0, 2.5, 5.0, 5.5, 6.0), "starved"),
    (beats, heard(2.0, 2.5, 3.0, 3.5, 4.0), "starved"),
    (beats, heard(2.0, 3.9, 5.8), "starved"),
    (beats, heard(), "no-heartbeat"),
    (guarded, scene().swept(4, report={"broker_works": False}), "unguarded"),
    (guarded, scene().swept(4, "fail", report=None, errors="sorry"), "unhelpful"),
    (guarded, blind().record(5, "REVOKED"), "unguarded"),
    (
        stands,
        beating(3).saw("stopped", 4).record(5, "STARTED", last_heartbeat=wall(5)).saw("goes on", 6),
        "false-heartbeat",
    ),
    (unchanged, scene().record(3, "STARTED").saw("broken", 4).record(5, "REVOKED").saw("mended", 6), "changed-blindly"),
    (
        unchanged,
        scene().record(3, "STARTED").saw("broken", 4).record(5, "STARTED", reason="x").saw("mended", 6),
        "changed-blindly",
    ),
    (argued, scene(), "no-record"),
    (argued, scene().record(6, "STARTED", args=["ann"]), "stuck"),
    (argued, scene().record(6, "SUCCESS", args=["bob"]), "unreadable"),
    (argued, scene().record(6, "SUCCESS"), "unreadable"),
    (delivered, scene().truth("arguments", 2.1, described="[2]"), "changed-arguments"),
    (bounded, scene().record(6, "SUCCESS", args=SMALL | {"preview": "x" * 200}), "unbounded-arguments"),
    (bounded, scene().record(6, "SUCCESS", args=["x"]), "unmarked-truncation"),
    (bounded, scene().record(6, "SUCCESS", args=SMALL | {"original_bytes": 7}), "unmarked-truncation"),
    (identified, scene().record(3, "STARTED", worker_id="w9").saw("inspect", 4, nodes={"w1": []}), "wrong-worker"),
    (
        identified,
        scene().record(3, "STARTED", worker_id="w2").saw("inspect", 4, nodes={"w1": [], "w2": []}),
        "wrong-worker",
    ),
    (nobody, scene().record(6, "SUCCESS", worker_id="w1"), "wrong-worker"),
    (one_line, scene().logged("INFO outage"), "silent"),
    (one_line, scene().logged("ERROR outage", "ERROR outage"), "silent"),
    (failures, scene().logged("INFO all is well"), "silent-failure"),
    (failures, scene().logged("ERROR task t was refused", "ERROR task t was refused"), "noisy-failure"),
    (failures, scene().logged("ERROR task t was refused", "NameError: x"), "name-error"),
    (up, scene().saw("inspect", 3, nodes={"w1": []}).saw("inspect", 9, nodes={}), "worker-down"),
    (
        tidy,
        scene().saw("sessions", **sessions(3)).saw("sessions", **sessions(9, idle_in_transaction=1)),
        "idle-in-transaction",
    ),
    (tidy, scene().saw("sessions", **sessions(3)).saw("sessions", **sessions(9, locks=1)), "held-lock"),
    (tidy, scene().saw("sessions", **sessions(3)).saw("sessions", **sessions(9, connections=4)), "connection-growth"),
    (timed, scene().returned(5).record(6, "SUCCESS", queued_at=wall(1)), "missing-time"),
    (timed, scene().returned(5).record(6, "SUCCESS", **ENDED | {"started_at": "2026-01-01T00:00:02"}), "naive-time"),
    (timed, scene().returned(5).record(6, "SUCCESS", **ENDED | {"queued_at": wall(4)}), "disorder"),
    (timed, scene().returned(5).record(6, "SUCCESS", **ENDED | {"completed_at": wall(8)}), "wrong-clock"),
    (timed, timely().truth("received", 1.8).record(7, "SUCCESS", **ENDED | {"started_at": wall(1.2)}), "wrong-clock"),
    (timed, timely().truth("received", 1.8).record(7, "SUCCESS", **ENDED | {"started_at": wall(3)}), "wrong-clock"),
    (timed, prefetched(busy_until=59.5, started_at=wall(0.2)), "wrong-clock"),
    (timed, prefetched(busy_until=None, started_at=wall(0.2)), "wrong-clock"),
    (timed, prefetched(busy_until=59.5, started_at=wall(58)), "wrong-clock"),
    (timed, timely().record(7, "SUCCESS", **ENDED, last_heartbeat="2026-01-01T00:00:04"), "naive-time"),
    (timed, timely().record(7, "SUCCESS", **ENDED, last_heartbeat=wall(1)), "wrong-clock"),
    (timed, timely().record(7, "SUCCESS", **ENDED, last_heartbeat=wall(8)), "wrong-clock"),
    (timed, timely().trail(7, step(None, "PENDING", at=1) | {"at": "2026-01-01T00:00:01"}), "naive-time"),
    (timed, timely().trail(7, step("PENDING", "STARTED", at=3)), "wrong-clock"),
    (timed, timely().logged("ERROR TypeError: can't compare offset-naive and offset-aware"), "naive-comparison"),
    (queued, scene().record(1.5).record(6, "SUCCESS", **ENDED), "no-record-while-queued"),
    (queued, scene().record(1.5, "PENDING").record(6, "SUCCESS", started_at=wall(2)), "queue-time-lost"),
    (queued, scene().record(1.5, "PENDING").record(6, "SUCCESS", **ENDED | {"queued_at": wall(-5)}), "queue-time-lost"),
    (in_time, Scene().published(type_="fail", error="refused"), "publish-failed"),
    (in_time, Scene().published(seconds=1.5), "publish-blocked"),
    (ended, scene().record(6, "STARTED").trail(6, step(None, "STARTED")), "not-ended"),
    (ended, scene().record(6, "FAILURE", **ENDED).trail(6, *LIVED, FATAL), "ended-twice"),
    (ended, scene().record(6, "SUCCESS", **ENDED).record(7, "FAILURE", **ENDED).trail(7, *LIVED), "ended-twice"),
    (ended, scene().record(6, "SUCCESS", **ENDED).trail(6, *LIVED, step("SUCCESS", "STARTED")), "ended-twice"),
    (
        ended,
        scene().record(6, "SUCCESS", **ENDED).record(7, "SUCCESS", completed_at=wall(6.5)).trail(7, *LIVED, LATE),
        "completion-moved",
    ),
    (zombie, scene().record(5, "STARTED").fault("heal", 6, name="freeze").returned(7).trail(8), "not-swept"),
    (zombie, woken(step("STARTED", "REVOKED"), step("REVOKED", "SUCCESS"), status="SUCCESS"), "overwritten"),
    (zombie, woken(step("STARTED", "REVOKED")), "unnoted"),
    (duplicate, twice("started", WARNED), "duplicate-unreported"),
    (duplicate, twice(NAMED, "INFO all is well"), "duplicate-unreported"),
    (duplicate, twice("a duplicate", WARNED), "cause-unnamed"),
    (way, scene().trail(6, step(None, "STARTED")), "another-way"),
    (listed, scene().record(6, "SUCCESS", args=["[1, [2]]"], kwargs={"pair": [3]}), "another-form"),
    (listed, scene().record(6, "SUCCESS", args=[[1, [2]]], kwargs={}), "another-form"),
    (apart, forked("socket:[7]", "socket:[7]"), "shared-socket"),
    (revoked_told, scraped(), "miscounted"),
    (revoked_told, scraped(revoked=2), "miscounted"),
    (revoked_told, scraped(revoked=None), "untold"),
    (errors_told, scraped("ERROR one"), "uncounted-errors"),
    (errors_told, scraped("ERROR one", tracking_errors=2), "invented-errors"),
    (errors_told, scraped("ERROR one", tracking_errors=None), "untold"),
    (open_told, scraped(open_started=0), "untrue-open-tasks"),
    (open_told, scraped(open_pending=1), "untrue-open-tasks"),
    (open_told, scraped(open_retry=None), "untold"),
    (open_told, scraped(seconds=11), "scrape-blocked"),
    (open_untold, scraped(), "invented-open-tasks"),
    (open_untold, scraped(asked=False, open_retry=0), "invented-open-tasks"),
    (sweeps_told, scraped(sweep_seconds=0.2), "sweeps-uncounted"),
    (sweeps_told, scraped(sweeps=9, sweep_seconds=0.2), "sweeps-invented"),
    (sweeps_told, scraped(sweeps=1), "untrue-sweep-seconds"),
    (sweeps_told, scraped(sweeps=1, sweep_seconds=30), "untrue-sweep-seconds"),
    (sweeps_told, scraped(sweeps=None), "untold"),
    (closings_told, scraped("sweep w1 is done"), "closings-untold"),
    (closings_told, scraped("sweep w1 closed 1 of 9 open tasks"), "closings-untold"),
    (reads, counted(scans=1), "whole-table"),
    (reads, counted(entries=0), "no-compound-index"),
    (reads, counted(index="(worker_id)"), "no-compound-index"),
    (reads, counted(entries=500), "closed-rows"),
    (went_on, worked(6.0), "held-up"),
    (went_on, worked(4.0, ends=2), "not-once"),
    (named_failures, scene().logged("WARNING: u is no more"), "silent-failure"),
    (schema, migrated([{"id": 1, "name": "a", "new": 0}]), "row-lost"),
    (schema, migrated([]), "row-lost"),
    (schema, migrated([{"id": 1, "name": "a", "new": 0}, {"id": 2, "name": None, "new": 0}]), "row-changed"),
    (schema, migrated([{"id": 1, "name": "a"}, {"id": 2, "name": "b"}], compared="fail"), "schema-differs"),
    (stuck, stalled(), "stuck-untold"),
    (stuck, stalled("t", "u"), "called-stuck"),
    (tracked, ran(), "untracked"),
    (tracked, ran().record(6, "STARTED", name="n", queued_at=wall(1)), "end-untracked"),
    (tracked, ran().record(6, "SUCCESS", name="n"), "publication-untracked"),
    (apart, forked("socket:[7]", "socket:[8]", backends=(1, 1)), "shared-session"),
]

UNKNOWN: list[tuple[Check, Scene, str]] = [
    (live, scene().killed(2.5).record(6, "REVOKED"), "nothing that this check looks at"),
    (dead, scene().returned(5), "nothing that this check looks at"),
    (dead, Scene().ready(pid=PID).started().killed(4), "a living sweeper"),
    (found, Scene().ready().started().returned(5).record(6, "SUCCESS"), "a publication"),
    (found, Scene().ready(pid=PID).published().started().killed(4).record(6, "REVOKED"), "a living sweeper"),
    (unharmed, scene(), "the result of t"),
    (kept_back, scene(), "what the result backend told of t"),
    (kept_back, scene().saw("state", 6, "t", state=None, error="x"), "what the result backend told of t"),
    (kept_back, scene().saw("state", 6, "t", state="FAILURE", error=""), "it told FAILURE of t meanwhile"),
    (kept, scene(), "a record of t"),
    (closed, scene(), "the trail of t"),
    (legal, scene().trail(6, step(None, "PENDING")), "the trail and the record of t"),
    (accounted, scene().record(6, "SUCCESS"), "the trail and the record of t"),
    (trail_told, scene(), "the trail of t"),
    (six, scene().record(3, "STARTED").planted("ok", "PENDING"), "attempts to plant the status 'LOST'"),
    (six, scene().record(3, "STARTED").planted("fail", "LOST").rewritten(accepted=False), "a legal status"),
    (young, scene().record(6, "REVOKED"), "the times of the record"),
    (young, scene(), "a record of t"),
    (says, scene(), "a report of the sweep"),
    (beats, scene(), "the mark that the task holds at"),
    (beats, scene().truth("mark", 2.0).record(2.0, "STARTED", last_heartbeat=wall(2)).returned(3), "two leases"),
    (held, scene().truth("tick", 2.0), "a GIL held for 2 s"),
    (held, scene().truth("tick", 4.5).truth("gil released", 5.0), "a GIL held for 2 s"),
    (guarded, scene().swept(4, report={"broker_works": True}), "a command run without the broker"),
    (stands, beating(3).saw("stopped", 4), "the note 'goes on'"),
    (stands, scene().record(3, "STARTED").saw("stopped", 4).saw("goes on", 6), "a heartbeat of t"),
    (unchanged, scene().record(3, "STARTED").saw("broken", 4), "the note 'mended'"),
    (unchanged, scene().saw("broken", 4).saw("mended", 6), "a record of t"),
    (delivered, scene(), "the arrival of the arguments of t"),
    (bounded, scene(), "a record of t"),
    (identified, scene().record(3, "STARTED", worker_id="w1"), "an answer to inspect"),
    (nobody, scene(), "a record of t"),
    (one_line, scene(), "the log w1"),
    (failures, scene(), "the log w1"),
    (up, scene(), "an answer to inspect"),
    (tidy, scene().saw("sessions", **sessions(3)), "before and after"),
    (timed, scene().record(6, "SUCCESS", **ENDED), "the true time of completed_at of t"),
    (timed, scene(), "a record of t"),
    (timed, scene().returned(5).record(6, "SUCCESS", **ENDED), "the logs"),
    (timed, Scene().ready().published().record(6, "SUCCESS", **ENDED, last_heartbeat=wall(4)), "the true start of t"),
    (zoned, timely(), "a moved clock of w1 in a zone 20700 s from UTC"),
    (zoned, timely().truth("clock moved", 0.5, utc_offset_s=0), "a moved clock of w1 in a zone 20700 s from UTC"),
    (zoned, timely().truth("clock moved", 0.5, node="w2", utc_offset_s=20_700), "a moved clock of w1"),
    (queued, scene(), "a publication, a start and a record"),
    (in_time, Scene().ready(), "the publication of t"),
    (ended, scene().record(6, "SUCCESS", **ENDED), "the trail of t"),
    (zombie, scene().returned(4).fault("heal", 6, name="freeze").trail(8), "a worker that woke"),
    (duplicate, scene().returned(5).trail(6).logged(WARNED), "two executions of t at once"),
    (duplicate, scene().returned(3).started(4, "e2").trail(6).logged(WARNED), "two executions of t at once"),
    (way, scene(), "the trail of t"),
    (revoked_told, scene(), "the scrape after"),
    (errors_told, scene().saw("metrics", 4, worker="w1", when="after", told={"tracking_errors": 1}), "the log of w1"),
    (open_told, scene().saw("metrics", 4, when="after", told=dict(NONE_OPEN), seconds=0), "open records before"),
    (sweeps_told, scene(), "two scrapes"),
    (closings_told, scene(), "the log of a worker"),
    (listed, scene(), "a record of t"),
    (tracked, Scene().published(), "an execution of t"),
    (reads, scene(), "what the database counted"),
    (schema, scene(), "looks at the rows"),
    (stuck, scene(), "a report of the sweep"),
    (apart, scene().saw("sockets", 3, worker="w1", held={"1": ["socket:[7]"]}), "2 processes with a socket each"),
]


PASSING += [
    (given, answered(body=[1])),
    (given_to_commands, scene().saw("answer", 6, "t", **printed([1]))),
    (status_told, told_status()),
    (expired, answered(status=410, body=BOTH_TIMES).saw("answer", 8, "t", **STILL_KNOWN)),
    (pending, answered(status=202)),
    (within_limits, waits((0, 1.0, 124), (3, 4.2, 124))),
    (partial, in_part({"n": 1, "l": "<_thread.lock>"}, "result.l: _thread.lock")),
    (streamed, in_pieces()),
    (explained, explaining(ERROR)),
    (expiring, lapsing()),
    (forgotten, scene().saw("stored", 7, "t", bytes=2, ttl_s=1.0)),
    (agreeing, two_surfaces()),
    (sane, progressing(PROGRESS, NO_SENSE)),
    (sane, progressing(None, NO_SENSE)),
    (told_who_waits, waited()),
    (watched_by_two, two_readers((3.0, 1, "STARTED"), (5.2, 2, "SUCCESS"))),
    (last_is_the_end, looked_on((4.0, "STARTED", 1), (4.5, "STARTED", 3), (7.0, "SUCCESS", 3))),
    (paced, asking(0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.2, 7.5, 9.0, 10.8)),
    (kept_apart, tried()),
]
FAILING += [
    (given, answered(body={"result": [1]}), "wrapped-result"),
    (given, answered(body=[2]), "wrong-result"),
    (given, answered(status=404), "no-result"),
    (given_to_commands, scene().saw("answer", 6, "t", **printed(exit_code=1)), "no-result"),
    (status_told, told_status(status="STARTED", ready=False), "wrong-status"),
    (status_told, told_status(completed_at=wall(7.9)), "wrong-time"),
    (status_told, told_status(completed_at=None), "wrong-time"),
    (status_told, told_status(run_seconds=1.0), "wrong-time"),
    (status_told, told_status(worker="w2"), "wrong-worker"),
    (status_told, told_status(attempts=2), "wrong-attempts"),
    (expired, answered(status=404), "mistaken"),
    (expired, answered(status=410, body=NO_TIMES).saw("answer", 8, "t", **STILL_KNOWN), "no-times"),
    (
        expired,
        answered(status=410, body=BOTH_TIMES).saw("answer", 8, "t", **answer(404, "status", None)),
        "forgotten",
    ),
    (pending, answered(status=404), "mistaken"),
    (within_limits, waits((0, 1.0, 124), (3, 7.2, 124)), "late"),
    (within_limits, waits((0, 1.0, 124), (3, 1.2, 124)), "early"),
    (within_limits, waits((0, 1.0, 0), (3, 4.2, 0)), "wrong-exit"),
    (within_limits, waits((0, 1.0, 124), (3, 4.2, 124), errors="time is up"), "unsaid"),
    (partial, in_part(None, None), "work-lost"),
    (partial, in_part({"n": 1, "l": "lock"}, "lock", state="FAILURE"), "work-lost"),
    (partial, in_part({"n": 2, "l": "lock"}, "lock"), "good-part-lost"),
    (partial, in_part({"n": 1, "l": "lock"}, "lock", value="{}"), "good-part-lost"),
    (partial, in_part({"n": 1, "l": "lock"}, None), "unmarked"),
    (partial, in_part({"n": 1}, "something"), "bad-part-unnamed"),
    (streamed, in_pieces(sha256="cd"), "wrong-result"),
    (streamed, in_pieces(via=()), "not-redirected"),
    (streamed, in_pieces(headers={"size": None}), "size-unsaid"),
    (streamed, in_pieces(held=9), "in-the-backend"),
    (streamed, in_pieces(grown=200), "memory-unbounded"),
    (explained, explaining(None), "no-error"),
    (explained, explaining(ERROR | {"code": "lost"}), "wrong-code"),
    (explained, explaining(ERROR | {"type": None}), "no-context"),
    (explained, explaining(ERROR, "password=hunter2"), "secret-told"),
    (expiring, lapsing(after_s=4.0), "wrong-expiry"),
    (expiring, lapsing(ttl_s=None), "kept-for-longer"),
    (forgotten, scene().saw("stored", 7, "t", bytes=2, ttl_s=None), "kept-for-longer"),
    (forgotten, scene().saw("stored", 7, "t", bytes=2, ttl_s=3.5), "kept-for-longer"),
    (
        expiring,
        answered(asked="status", fields={"status": "SUCCESS"}).saw("stored", 7, "t", bytes=2, ttl_s=1.0),
        "not-told",
    ),
]
FAILING += [
    (agreeing, two_surfaces(worker_id="w1"), "another-name"),
    (agreeing, two_surfaces(attempts=2), "differs"),
    (agreeing, two_surfaces(status="STARTED", ready=False), "finished-shown-running"),
    (sane, progressing(PROGRESS | {"current": 3}, NO_SENSE), "insane"),
    (sane, progressing(PROGRESS | {"total": float("nan")}, NO_SENSE), "insane"),
    (sane, progressing(PROGRESS | {"percent": 150}, NO_SENSE), "insane"),
    (sane, progressing(PROGRESS | {"message": "x" * 5000}, NO_SENSE), "insane"),
    (sane, progressing(PROGRESS | {"at": wall(-90)}, NO_SENSE), "made-up-time"),
    (sane, progressing(PROGRESS), "unlogged"),
    (sane, progressing(None, NO_SENSE, status=500), "no-answer"),
    (told_who_waits, waited(exit_code=5), "wrong-answer"),
    (told_who_waits, waited(status="STARTED"), "wrong-answer"),
    (told_who_waits, waited(at=8.0), "late"),
    (watched_by_two, two_readers((3.0, 1, "STARTED")), "untold"),
    (last_is_the_end, looked_on((7.0, "SUCCESS", 3), (7.1, "STARTED", 3)), "stale-last-frame"),
    (last_is_the_end, looked_on((4.0, "STARTED", 3), (4.5, "STARTED", 1), (7.0, "SUCCESS", 3)), "backwards"),
    (last_is_the_end, looked_on((8.5, "SUCCESS", 3)), "late"),
    (paced, asking(0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 7.5, 9.0, 10.8), "late"),
    (paced, asking(*range(11)), "too-many"),
    (watched_by_two, two_readers((8.0, 2, "SUCCESS")), "late"),
    (watched_by_two, two_readers((3.0, 1, "STARTED"), (5.2, 1, "SUCCESS")), "disorder"),
    (watched_by_two, two_readers((5.2, 2, "SUCCESS"), count=2), "many-subscriptions"),
    (kept_apart, tried(status=200), "let-in"),
    (kept_apart, tried(opened=True), "let-in"),
    (kept_apart, tried(body={"result": "a secret"}), "leaked"),
    (kept_apart, tried(afterwards=500), "harmed"),
]
UNKNOWN += [
    (agreeing, answered(asked="status", fields=status_of()), "a status of t on the surface cli"),
    (sane, scene(), "the progress of t"),
    (told_who_waits, scene(), "a command that waited"),
    (told_who_waits, waited(held_back=0), "anything that the middlebox did"),
    (watched_by_two, scene(), "the end of t"),
    (last_is_the_end, scene(), "the end of t"),
    (paced, asking(0.0, 1.0, hasty=False), "pauses between them"),
    (paced, asking(), "pauses between them"),
    (paced, asking(0.0, 1.0), "a wait of 10 s"),
    (kept_apart, scene(), "anything that is forbidden"),
    (given, scene(), "a result of t"),
    (status_told, scene().returned(5), "a status of t after its end"),
    (expired, scene(), "an answer about the result of t"),
    (expired, answered(status=410, body=BOTH_TIMES), "the status of t after its expiry"),
    (within_limits, waits((0, 1.0, 124)), "two waits"),
    (partial, scene(), "answers about t"),
    (
        streamed,
        answered(via=[303], size=9, sha256="ab", headers={"size": "9"}).saw("stored", 7, "t", bytes=2, ttl_s=1.0),
        "the memory that it took",
    ),
    (streamed, scene(), "what the backend has of it"),
    (explained, answered(asked="status", fields={"error": ERROR}), "from the API and from a command"),
    (expiring, scene(), "a status of t"),
    (forgotten, scene(), "what the backend has of t"),
    (forgotten, scene().saw("stored", 7, "t", bytes=0, ttl_s=None), "what the backend has of t"),
]


def named(value: object) -> str | None:
    """A check's name in a test's id."""
    return value.name if isinstance(value, Check) else "history" if isinstance(value, Scene) else None


def seen(at: float, row: dict[str, Any] | None = None, progress: dict[str, Any] | None = None) -> tuple[Any, ...]:
    """A look at the agent: busy with the task, in the middle of it, unless told otherwise."""
    return at, BUSY if row is None else row, HALF if progress is None else progress


def looked_at(*looks: tuple[Any, ...], told: Scene | None = None) -> Scene:
    """The agent was looked at, as in `seen`."""
    told = scene() if told is None else told
    for at, row, progress in looks:
        told.saw("agent", at, agent="planner", row=row or {}, progress=progress)
    return told


def run_over(*looks: tuple[Any, ...], remembers: list[str] | None = None, **shown: Any) -> Scene:
    """Its run returned at 5, and the agent was looked at; what it remembers then, and what the API shows of it."""
    told = looked_at(*looks, told=scene().returned(5))
    told.add(Kind.TRUTH, 8.0, "info", "memory", value={"agent": "planner", "holds": remembers or []})
    return told.saw("answer", 8.5, asked="agent", path="/agents/planner", body=IDLE | {"progress": None} | shown)


def in_its_midst(record_agent: str | None = "planner", *look: Any, **shown: Any) -> Scene:
    """The run lasts, record and agent are looked at, and the API is asked; it returns at 5."""
    told = looked_at(look or seen(3.0), told=scene().record(3, "STARTED", agent=record_agent))
    told.saw("answer", 3.5, asked="agent", path="/agents/planner", body=BUSY | {"progress": {"current": 1}} | shown)
    return told.returned(5)


def run_by_two(*looks: tuple[Any, ...]) -> Scene:
    """A second task runs the agent from 3 to 8, the first one until 5."""
    who = {"execution": "e2", "pid": 200, "life": "w2"}
    both = scene().add(Kind.TRUTH, 3.0, "info", "start", process="w2", task="u", value=who)
    both.add(Kind.TRUTH, 8.0, "info", "end", process="w2", task="u", value=who | {"returned": True})
    return looked_at(*looks, told=both.returned(5))


def logged_transitions(*lines: str) -> Scene:
    """The task was published, ran, and returned; this is what a log says."""
    steps = (step(None, "PENDING"), step("PENDING", "STARTED"), step("STARTED", "SUCCESS"))
    return scene().returned(5).trail(6, *steps).logged(*lines)


def line(*values: str | None) -> str:
    """A line of a log that ends with JSON."""
    return f"INFO transition {json.dumps({str(number): value for number, value in enumerate(values)})}"


IS_IDLE = seen(6.0, IDLE, {})
NEXT = BUSY | {"current_task_id": "u"}
TOLD = (line("t", None, "PENDING"), line("t", "PENDING", "STARTED"), line("t", "STARTED", "SUCCESS"))
RUN_TOLD = (line("t", "planner", "idle", "running"), line("t", "planner", "running", "idle"))

PASSING += [
    (linked, in_its_midst()),
    (idle, run_over(seen(5.5), IS_IDLE)),
    (idle_soon, run_over(seen(5.5), seen(6.0, IDLE | {"last_error": "ValueError: no such town"}, {}))),
    (belongs, run_by_two((6.0, NEXT, {"u": {}}))),
    (kept_progress, looked_at(seen(3.0), seen(4.5), told=scene().returned(5))),
    (row_cleaned, looked_at((6.0, IDLE, None), told=scene().returned(5))),
    (progress_cleaned, scene().returned(5).saw("agent", 6.0, agent="planner", row=None, progress={})),
    (transitions_told, logged_transitions(*TOLD, *RUN_TOLD)),
]
FAILING += [
    (linked, in_its_midst("planner", *seen(3.0, IDLE)), "unlinked"),
    (linked, in_its_midst(None), "unlinked"),
    (linked, in_its_midst("planner", *seen(3.0, None, {})), "no-progress"),
    (linked, in_its_midst(is_running=False), "shown-idle"),
    (idle, run_over(seen(6.0, None, {})), "still-running"),
    (idle, run_over(seen(6.0, IDLE)), "progress-left"),
    (idle, run_over(IS_IDLE, remembers=["task"]), "memory-left"),
    (idle, run_over(IS_IDLE, is_running=True), "shown-running"),
    (idle, run_over(seen(6.0, IDLE | {"last_error": "of before"}, {})), "error-invented"),
    (idle, run_over(IS_IDLE, seen(7.0, IDLE | {"last_update": "later"}, {})), "changed-again"),
    (idle_soon, run_over(seen(8.5, IDLE | {"last_error": "no such town"}, {})), "late"),
    (idle_soon, run_over(IS_IDLE), "error-untold"),
    (belongs, run_by_two((6.0, IDLE, {"u": {}})), "idle-under-a-run"),
    (belongs, run_by_two((6.0, NEXT, {})), "idle-under-a-run"),
    (kept_progress, looked_at(seen(3.0), seen(4.5, None, {}), told=scene().returned(5)), "progress-lost"),
    (row_cleaned, looked_at((6.0, BUSY, None), told=scene().returned(5)), "still-running"),
    (
        progress_cleaned,
        scene().returned(5).saw("agent", 6.0, agent="planner", row=None, progress=HALF),
        "progress-left",
    ),
    (transitions_told, logged_transitions(*TOLD[:2], *RUN_TOLD), "unlogged"),
    (transitions_told, logged_transitions(*TOLD, RUN_TOLD[0]), "unlogged"),
    (transitions_told, logged_transitions(*TOLD[:2], line("t", "SUCCESS", "STARTED"), *RUN_TOLD), "unlogged"),
    (transitions_told, logged_transitions("task t is STARTED", *RUN_TOLD), "unlogged"),
    (transitions_told, logged_transitions(*TOLD, TOLD[2], *RUN_TOLD), "logged-twice"),
]
UNKNOWN += [
    (linked, scene().returned(5), "a look at agent planner"),
    (idle, looked_at(seen(3.0), told=scene().returned(5)), "a look at it after that"),
    (idle, looked_at(IS_IDLE), "the end of the run"),
    (idle, looked_at(IS_IDLE, told=scene().returned(5)), "what agent planner remembers"),
    (belongs, run_by_two(), "a look at agent planner"),
    (belongs, looked_at((6.0, NEXT, {"u": {}}), told=scene().returned(5)), "the run of planner by u"),
    (kept_progress, looked_at(seen(3.0), told=scene().returned(5)), "for 1 s while it ran"),
    (row_cleaned, run_over(IS_IDLE), "while there was no progress"),
    (row_cleaned, scene().returned(5).saw("agent", 6.0, agent="planner", row=None, progress=None), "while there was"),
    (transitions_told, scene().returned(5), "the trail of t"),
]


def checked(
    *stale: tuple[str, str], exit_code: int | None = None, told: Scene | None = None, at: float = 6.0, **more: Any
) -> Scene:
    """The check command named these, as JSON."""
    report = {"stale": [{"kind": kind, "task_id": task} for kind, task in stale], "cleaned": []} | more
    code = (1 if stale else 0) if exit_code is None else exit_code
    value = {"flags": ["--json"], "exit_code": code, "report": report, "errors": ""}
    return (told or scene()).add(Kind.OPERATION, at, "fail" if code else "ok", "check", value=value)


def reported(text: str = f"{DEAD[0]} {DEAD[1]}", again: tuple[tuple[str, str], ...] = (DEAD,), **row: Any) -> Scene:
    """The check command was run thrice: as JSON, as this text, and with a status that tells this of the agent."""
    told = checked(DEAD, told=looked_at(seen(5.0)))
    plain = {"flags": [], "exit_code": 1, "report": None, "errors": "", "text": text}
    told.add(Kind.OPERATION, 7.0, "fail", "check", value=plain)
    stale = [{"kind": kind, "task_id": task} for kind, task in again]
    status = {"agents": [{"name": "planner", **BUSY, **row}]}
    value = {
        "flags": ["--status", "--json"],
        "exit_code": 1,
        "report": {"stale": stale, "status": status},
        "errors": "",
    }
    return told.add(Kind.OPERATION, 8.0, "fail", "check", value=value)


def health(status: int, *, first: int = 200, **told: Any) -> Scene:
    """Health was asked for twice."""
    looks = scene()
    for at, code, body in (
        (3.0, first, {}),
        (6.0, status, {"database": True, "stale": {"points-at-nothing": 1}} | told),
    ):
        value = {"asked": "health", "status": code, "body": body}
        looks.add(Kind.OBSERVATION, at, "info", "answer", process="api", value=value)
    return looks


def monitored_as(
    *, executing: bool | None = True, stuck: tuple[str, ...] = ("t",), started: int = 1, found: int = 1, **records: bool
) -> Scene:
    """The task runs, and the monitor commands tell this; of `u` and `v` there are records before and after."""
    told = scene()
    active = [{"task_id": "t", "executing": executing}]
    for command, report in (
        ("active-tasks", active),
        ("stuck-tasks", [{"task_id": task, "executing": True} for task in stuck]),
        ("stats", {"open": {"STARTED": started}}),
    ):
        told.add(Kind.OPERATION, 3.0, "ok", command, value={"flags": [], "report": report})
    there = {"between": True, "after": False, "kept": True} | records
    for at, flags, name in ((4.0, ["--dry-run"], "found"), (6.0, [], "cleared")):
        told.add(Kind.OPERATION, at, "ok", "clear-old-tasks", value={"flags": flags, "report": {name: found}})
        left = there["between"] if flags else there["after"]
        told.saw("record", at + 1, "u", **({"status": "SUCCESS"} if left else {}))
    return told.saw("record", 7.0, "v", **({"status": "PENDING"} if there["kept"] else {}))


def check_counts(*made: int) -> Scene:
    """Two workers were scraped at first and 4 s later, when they had made so many checks."""
    told = scene()
    for at, counts in ((2.0, (0, 0)), (6.0, made)):
        for worker, count in zip(("a", "b"), counts, strict=True):
            told.saw("metrics", at, worker=worker, when="x", told={"checks": float(count)})
    return told


def swept_over(*tasks: str) -> Scene:
    """A sweep command told of two tasks, and of these that they overran."""
    findings = [{"task_id": task, "overran": task in tasks} for task in ("t", "u")]
    return scene().swept(4, report={"findings": findings})


def rates(succeeded: int = 3, failed: int = 1, **of_metrics: float | None) -> Scene:
    """The status tells these of a window, and the metrics the right ones, unless told otherwise."""
    window = {"window": "5m", "succeeded": succeeded, "failed": failed}
    window |= {"success_rate": succeeded / (succeeded + failed), "failure_rate": failed / (succeeded + failed)}
    told = checked(status={"rates": [window]})
    recent = {"recent_successes": 3.0, "recent_failures": 1.0, "success_rate": 0.75, "failure_rate": 0.25}
    return told.saw("metrics", 7.0, worker="a", when="x", told=recent | of_metrics)


PASSING += [
    (named_stale, checked(DEAD)),
    (nothing_stale, checked()),
    (three_alike, reported()),
    (unwell, health(503)),
    (still_well, health(200, progress=False)),
    (monitored, monitored_as()),
    (paced_checks, check_counts(3, 2)),
    (overran, swept_over("t")),
    (rated, rates()),
]
FAILING += [
    (named_stale, checked(), "unfound"),
    (named_stale, checked(("points-at-nothing", "t")), "misnamed"),
    (named_stale, checked(DEAD, ("points-at-nothing", "u")), "called-stale"),
    (named_stale, checked(DEAD, ("points-at-nothing", "t")), "called-stale"),
    (named_stale, checked(DEAD, exit_code=0), "wrong-exit"),
    (nothing_stale, checked(exit_code=1), "wrong-exit"),
    (three_alike, reported(text="all is well"), "reports-differ"),
    (three_alike, reported(again=()), "reports-differ"),
    (three_alike, reported(is_running=False), "wrong-status"),
    (unwell, health(503, first=503), "called-unwell"),
    (unwell, health(200), "called-well"),
    (still_well, health(503, progress=False), "called-unwell"),
    (unwell, health(503, stale={}), "untold"),
    (unwell, health(503, database=False), "untold"),
    (monitored, monitored_as(executing=None), "untold"),
    (monitored, monitored_as(stuck=()), "untold"),
    (monitored, monitored_as(stuck=("t", "u")), "invented"),
    (monitored, monitored_as(started=2), "miscounted"),
    (monitored, monitored_as(found=2), "miscounted"),
    (monitored, monitored_as(between=False), "cleared-in-dry-run"),
    (monitored, monitored_as(after=True), "not-cleared"),
    (monitored, monitored_as(kept=False), "cleared-too-much"),
    (paced_checks, check_counts(0, 0), "unchecked"),
    (paced_checks, check_counts(4, 4), "each-node-checks"),
    (overran, swept_over(), "overran-untold"),
    (overran, swept_over("t", "u"), "called-overran"),
    (rated, rates(failed=2), "miscounted"),
    (rated, rates(success_rate=None), "untold"),
]
UNKNOWN += [
    (named_stale, scene(), "a report of the command"),
    (three_alike, checked(DEAD), "three reports in a row"),
    (unwell, scene(), "two answers about health"),
    (monitored, scene(), "a report of active-tasks"),
    (paced_checks, scene(), "two scrapes of each of two workers"),
    (overran, scene(), "a report of the sweep"),
    (rated, checked(), "a status of the command"),
]


@pytest.mark.parametrize(("check", "told"), PASSING, ids=named)
def test_a_promise_that_is_kept_passes(check: Check, told: Scene) -> None:
    """A history that shows the promise kept passes, with a reason and without violations."""
    found = check(told.history)

    assert (found.verdict, found.violations) == (Verdict.PASS, ()), found.reason
    assert found.check == check.name
    assert found.reason


@pytest.mark.parametrize(("check", "told", "kind"), FAILING, ids=named)
def test_a_promise_that_is_broken_fails_by_its_violation(check: Check, told: Scene, kind: str) -> None:
    """A history that shows the promise broken fails with the violation that is named for it."""
    found = check(told.history)

    assert found.verdict is Verdict.FAIL, found.reason
    assert kind in {violation.kind for violation in found.violations}
    assert all(told.history.entries[index] for violation in found.violations for index in violation.entries)


@pytest.mark.parametrize(("check", "told", "lacking"), UNKNOWN, ids=named)
def test_a_promise_without_evidence_is_unknown(check: Check, told: Scene, lacking: str) -> None:
    """A history that lacks the evidence is unknown, and the reason says what is lacking."""
    found = check(told.history)

    assert found.verdict is Verdict.UNKNOWN, found.reason
    assert lacking in found.reason


@pytest.mark.parametrize("check", {check.name: check for check, _ in PASSING}.values(), ids=named)
def test_no_check_passes_on_an_empty_history(check: Check) -> None:
    """Where nothing happened, no check finds its promise kept."""
    assert check(History()).verdict is not Verdict.PASS


LINE = {
    "task_id": "t",
    "status": "completed",
    "name": "Send",
    "completed_at": "2026-01-01T01:00:00+01:00",
    "worker": "w",
}
FIGURES = {"total": 7, "active": 1, "pending": 2, "completed": 3, "failed": 1, "success_rate": 0.75}
REMARKS = {
    "workers_answered": True,
    "registry_answered": True,
    "results_answered": True,
    "workers": ["w1"],
    "malformed": 2,
    "age_seconds": 0.5,
    "gathered_at": "noon",
}
SEEN_BY_PROMETHEUS = {
    "answers": 1,
    "answer_seconds": 0.1,
    "workers_asked": 1,
    "workers_seconds": 0.1,
    "workers_failures": 0,
    "registry_failures": 1,
    "results_failures": 0,
}


def sitrep(
    told: Scene | None = None,
    *,
    at: float = 6.0,
    status: int = 200,
    seconds: float = 1.0,
    lines: Sequence[Mapping[str, Any]] = (LINE,),
    figures: Mapping[str, Any] | None = None,
    remarks: Mapping[str, Any] | None = None,
    body: Any = None,
) -> Scene:
    """The operations view was asked."""
    value: dict[str, Any] = {
        "figures": {**FIGURES, **(figures or {})},
        "remarks": {**REMARKS, **(remarks or {})},
        "lines": list(lines),
    }
    return (told or scene()).saw("sitrep", at, status=status, seconds=seconds, body=body, **value)


def away(source: str, **more: Any) -> Scene:
    """It was asked while one of its sources did not answer."""
    return sitrep(remarks={f"{source}_answered": False} | ({"workers": []} if source == "workers" else {}), **more)


def which_logged(told: Scene, *lines: str) -> Scene:
    """What processes have logged."""
    return told.saw("log", 7, log="api", lines=list(lines))


def pages(*of_each: list[str], status: int = 200) -> Scene:
    """The pages of a list."""
    told = scene()
    for tasks in of_each:
        told.saw("lines", 6, status=status, lines=[LINE | {"task_id": task} for task in tasks])
    return told


def commands(*, calls: Mapping[str, int] | None = None, slowest_ms: float = 1.0, waited_s: float = 0.01) -> Scene:
    """What a Redis server was given."""
    given_to_it = {"get": 3} | dict(calls or {})
    return scene().saw("commands", 6, calls=given_to_it, slowest_ms={"get": slowest_ms}, waited_s=waited_s, asked=100)


def gatherings(*ages: float | None, gathered: int = 1) -> Scene:
    """Several asked, one after the other; metrics were scraped before and after."""
    told = scene().saw("sitrep metrics", 5, when="before", told=SEEN_BY_PROMETHEUS | {"workers_asked": 0})
    for age in ages:
        sitrep(told, remarks={"age_seconds": age})
    return told.saw("sitrep metrics", 7, when="after", told=SEEN_BY_PROMETHEUS | {"workers_asked": gathered})


def measured(told: Scene | None = None, **counts: Any) -> Scene:
    """What the view tells Prometheus, after one answer."""
    return (told or sitrep()).saw("sitrep metrics", 7, when="after", told=SEEN_BY_PROMETHEUS | counts)


NEWEST_ENDS = [LINE | {"task_id": task} for task in ("u", "t")]
EXECUTED = LINE | {"task_id": "x", "completed_at": None}

PASSING += [
    (true_figures, sitrep()),
    (workers_away, away("workers")),
    (workers_away, sitrep(remarks={"workers": []})),
    (registry_away, away("registry")),
    (newest, sitrep(lines=[EXECUTED, *NEWEST_ENDS])),
    (lines_told, sitrep()),
    (left_alone, commands()),
    (two_malformed, which_logged(sitrep(), "WARNING t is none")),
    (each_once, pages(["t"], ["u"])),
    (one_gathering, gatherings(0.1, 0.2)),
    (measured_view, measured()),
]
FAILING += [
    (true_figures, sitrep(figures={"active": 2, "total": 8}), "wrong-count"),
    (true_figures, sitrep(figures={"success_rate": None}), "wrong-rate"),
    (true_figures, sitrep(figures={"total": 6}), "wrong-total"),
    (true_figures, sitrep(status=500), "refused"),
    (workers_away, away("workers", seconds=6.0), "late"),
    (workers_away, sitrep(), "unsaid"),
    (registry_away, sitrep(), "unsaid"),
    (workers_away, away("workers", figures={"completed": None}), "forgotten"),
    (newest, sitrep(), "not-newest"),
    (newest, sitrep(lines=NEWEST_ENDS[::-1]), "out-of-order"),
    (lines_told, sitrep(lines=[]), "not-shown"),
    (lines_told, sitrep(lines=[LINE | {"status": "pending"}]), "wrong-status"),
    (lines_told, sitrep(lines=[LINE | {"name": "mail.send"}]), "wrong-name"),
    (lines_told, sitrep(lines=[LINE | {"completed_at": "2026-01-01T01:00:00+00:00"}]), "wrong-time"),
    (lines_told, sitrep(lines=[LINE | {"worker": None}]), "wrong-line"),
    (lines_told, sitrep(body={"args": ["hunter2"]}), "leaked"),
    (left_alone, commands(calls={"keys": 1}), "walked-all-keys"),
    (left_alone, commands(calls={"scan": 40}), "walked-all-keys"),
    (left_alone, commands(slowest_ms=60.0), "kept-busy"),
    (left_alone, commands(waited_s=1.5), "kept-waiting"),
    (two_malformed, which_logged(sitrep(remarks={"malformed": 1}), "WARNING t is none"), "uncounted"),
    (two_malformed, which_logged(sitrep(), "WARNING: nonsense"), "unlogged"),
    (each_once, pages(["t"], []), "missed"),
    (each_once, pages(["t", "u"], ["u"]), "repeated"),
    (each_once, pages(["t"], ["u", "v"]), "uncalled-for"),
    (each_once, pages(["t"], ["u"], status=500), "refused"),
    (one_gathering, gatherings(0.1, 0.2, gathered=2), "gathered-again"),
    (one_gathering, gatherings(0.1, None), "age-untold"),
    (one_gathering, gatherings(0.1, 0.1), "age-untold"),
    (one_gathering, gatherings(0.1, 6.0), "too-old"),
    (measured_view, measured(answers=0), "uncounted"),
    (measured_view, measured(workers_seconds=None), "uncounted"),
    (measured_view, measured(registry_failures=0), "failure-uncounted"),
    (measured_view, measured(results_failures=1), "failure-invented"),
]


DOCUMENT: dict[str, Any] = {
    "task_id": "t",
    "target": "x",
    "analysis_type": "full",
    "timestamp": "now",
    "metadata": {"by": "me"},
    "results": dict.fromkeys(("findings", "tools_used", "tool_results", "raw_outputs", "summary", "success")),
    "summary": {"total_findings": 0, "services_executed": [], "tools_executed": [], "status": "completed"},
    "invalid": [],
}
IN_PLACE = "x/app1/task_full_t_1/result.json"


def both_looked_into(
    told: Scene | None = None,
    *,
    at: float = 6.0,
    task: str = "t",
    row: Mapping[str, Any] | None = DOCUMENT,
    file: Mapping[str, Any] | None = DOCUMENT,
    path: str | None = IN_PLACE,
    answers: Mapping[str, Any] | None = None,
    **more: Any,
) -> Scene:
    """Both stores were looked into, and asked for by an API; no file without a path."""
    held = None if row is None else {"document": row, "metadata": {}}
    files = [] if path is None else [{"path": path, "bytes": 10, "document": file}]
    value: dict[str, Any] = {"row": held, "files": files, "leftovers": [], "outside": [], "told": answers, **more}
    return (told or scene()).saw("analysis", at, task, **value)


def begun(ended_at: float = 6.0) -> Scene:
    """An analysis was asked for at 2, and has ended."""
    told = scene().add(Kind.OPERATION, 2.0, "ok", "analyse", task="t", value={})
    return told.record(ended_at, "SUCCESS")


def troubled(
    status: str = "SUCCESS", *, warned: bool = True, row: Any = DOCUMENT, path: str | None = IN_PLACE
) -> Scene:
    """The disk made trouble at 6, and at 8 no more."""
    told = both_looked_into(scene().record(5, status), row=row, path=None)
    lines = ["WARNING t is not written"] if warned else []
    return both_looked_into(told, at=8, path=path).saw("log", 9, log="a", lines=lines)


def file_metrics(**counts: Any) -> Scene:
    """What a worker tells Prometheus of files."""
    told = {"file_writes": 2, "file_seconds": 0.1, "file_bytes": 100, "file_errors": 1} | counts
    return scene().saw("metrics", 6, worker="a", when="then", told=told, asked=6.0, seconds=0.1)


OTHERWISE = {"analysis": {"status": 200, "document": {"task_id": "t"}, "size": 10}}
WITHOUT_METADATA = DOCUMENT | {"metadata": {}}
WITHOUT_SUMMARY = {name: value for name, value in DOCUMENT.items() if name != "summary"}

PASSING += [
    (both_stores, both_looked_into()),
    (dropped, both_looked_into(scene().record(5, "SUCCESS"), row=None, path=None)),
    (right_frame, both_looked_into(begun())),
    (whole_files, both_looked_into(both_looked_into(leftovers=["x/.partial-1/result.json"]), at=7)),
    (inside, both_looked_into()),
    (told_of_writes, scene().saw("log", 6, log="a", lines=["INFO t: 3 findings"])),
    (survived, troubled()),
    (by_policy, both_looked_into(both_looked_into(), task="u", path=None)),
    (measured_files, file_metrics()),
]
FAILING += [
    (both_stores, both_looked_into(row=None), "no-row"),
    (both_stores, both_looked_into(path=None), "no-file"),
    (both_stores, both_looked_into(file=None), "differs"),
    (both_stores, both_looked_into(path="t.json"), "misplaced"),
    (both_stores, both_looked_into(row=WITHOUT_SUMMARY, file=WITHOUT_SUMMARY), "incomplete"),
    (both_stores, both_looked_into(row=WITHOUT_METADATA, file=WITHOUT_METADATA), "metadata-lost"),
    (both_stores, both_looked_into(answers=OTHERWISE), "told-otherwise"),
    (both_stores, both_looked_into(path=f"{IN_PLACE}.gz"), "not-packed"),
    (dropped, both_looked_into(scene().record(5, "SUCCESS")), "kept"),
    (right_frame, both_looked_into(begun(), row=None), "no-document"),
    (right_frame, both_looked_into(begun(), row=DOCUMENT | {"summary": {"status": "failed"}}), "wrong-status"),
    (right_frame, both_looked_into(begun(), row=DOCUMENT | {"invalid": ["x"]}), "reasons-untold"),
    (right_frame, both_looked_into(begun(), row=DOCUMENT | {"target": ""}), "wrong-document"),
    (right_frame, both_looked_into(begun(8.0), at=9), "late"),
    (whole_files, both_looked_into(file=None), "half-a-file"),
    (whole_files, both_looked_into(leftovers=["x/.partial-1/result.json"]), "leftover"),
    (inside, both_looked_into(outside=["/elsewhere"]), "escaped"),
    (told_of_writes, scene().saw("log", 6, log="a", lines=["INFO t: nothing"]), "unlogged"),
    (survived, troubled("FAILURE"), "task-failed"),
    (survived, troubled(row=None), "no-row"),
    (survived, troubled(warned=False), "unsaid"),
    (survived, troubled(path=None), "never-written"),
    (by_policy, both_looked_into(both_looked_into(path=None), task="u", path=None), "removed-too-early"),
    (by_policy, both_looked_into(both_looked_into(), task="u"), "kept-too-long"),
    (by_policy, both_looked_into(both_looked_into(), task="u", path=None, row=None), "document-lost"),
    (measured_files, file_metrics(file_writes=1), "unmeasured"),
    (measured_files, file_metrics(file_errors=0), "errors-uncounted"),
]


def test_every_check_of_the_harness_is_tested_both_ways() -> None:
    """Each check that scenarios can ask for has a passing history here, and a failing one unless it only proves."""
    asked: set[str] = set()
    for name in harness.__all__:
        member = getattr(harness, name)
        if getattr(member, "__annotations__", {}).get("return") == "Check":
            asked.add(name.replace("_", "-"))
    passing = {check.name for check, _ in PASSING}
    failing = {check.name for check, _, _ in FAILING}

    assert asked == passing
    assert asked - failing == {"end-kept-back", "gil-was-held"}


def test_a_process_number_that_is_used_again_is_no_death() -> None:
    """A process that starts after a kill under the same number is another process, and lives."""
    told = Scene().ready().published().killed(1.5).started(2).record(3, "REVOKED").returned(5)

    assert [violation.kind for violation in live(told.history).violations] == ["false-dead"]


def test_the_bound_counts_from_when_a_sweeper_lives() -> None:
    """A task whose death nobody could see is closed in time when the next worker closes it within its bound."""
    told = Scene().ready(pid=PID).started().killed(4).ready(at=50, pid=2).record(52.9, "REVOKED")

    assert dead(told.history).verdict is Verdict.PASS


# -- the verdict ---------------------------------------------------------------------------------------------------


def answering(verdict: Verdict) -> Check:
    """A check that finds what it is told to."""
    return Check(f"always-{verdict}", lambda _: Finding(f"always-{verdict}", verdict, f"it is {verdict}"))


def crashing() -> Check:
    """A check with a bug."""

    def examine(history: History) -> Finding:
        raise KeyError("absent")

    return Check("crashing", examine)


PASSES, FAILS, KNOWS_NOTHING = (answering(verdict) for verdict in (Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN))


def test_a_pass_takes_a_success_a_landed_fault_and_a_passing_check() -> None:
    """A steady state, a fault that landed and only passing checks are certified as a pass."""
    judgement = certify(scene().killed(4).history, [PASSES])

    assert judgement.verdict is Verdict.PASS
    assert judgement.reason == "it is pass"


def test_no_check_is_no_pass() -> None:
    """A scenario that asks nothing is unknown."""
    assert certify(scene().history, []).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("check", [PASSES, FAILS, KNOWS_NOTHING], ids=named)
def test_a_fault_that_did_not_land_makes_everything_unknown(check: Check) -> None:
    """Whatever the checks say, a fault without evidence leaves the verdict unknown and is named."""
    judgement = certify(scene().fault("inject", 4).history, [check])

    assert judgement.verdict is Verdict.UNKNOWN
    assert judgement.reason == "the fault `kill` on w1 did not land"


def test_of_two_faults_both_must_land() -> None:
    """One fault's evidence does not stand for another's."""
    told = scene().fault("inject", 4, 0).fault("inject", 5, 1).fault("landed", 6, 1, killed=[1])

    assert certify(told.history, [PASSES]).verdict is Verdict.UNKNOWN


def test_a_fault_before_any_success_leaves_no_steady_state() -> None:
    """Without a success before the first fault nobody knows that the system ever worked."""
    judgement = certify(Scene().ready().killed(0.5).published().started().history, [PASSES])

    assert judgement.verdict is Verdict.UNKNOWN
    assert "no steady state" in judgement.reason


def test_a_scenario_in_which_nothing_succeeded_is_unknown() -> None:
    """Where no operation succeeded, there is nothing to judge."""
    judgement = certify(Scene().published(type_="info").history, [PASSES])

    assert judgement.verdict is Verdict.UNKNOWN
    assert judgement.reason == "no operation succeeded"


def test_a_crashing_check_knows_nothing() -> None:
    """A check that raises is unknown, with the error in its reason."""
    judgement = certify(scene().history, [PASSES, crashing()])

    assert judgement.verdict is Verdict.UNKNOWN
    assert "KeyError" in judgement.reason


@pytest.mark.parametrize("others", [[KNOWS_NOTHING], [PASSES], [crashing(), KNOWS_NOTHING, PASSES]], ids=len)
def test_fail_beats_unknown_and_pass(others: list[Check]) -> None:
    """One failing check fails the scenario, whatever the others know; its reason leads."""
    judgement = certify(scene().history, [*others, FAILS])

    assert judgement.verdict is Verdict.FAIL
    assert judgement.reason == "always-fail: it is fail"
    assert len(judgement.findings) == len(others) + 1


def test_unknown_beats_pass() -> None:
    """One check without evidence leaves the scenario unknown."""
    assert certify(scene().history, [PASSES, KNOWS_NOTHING, PASSES]).verdict is Verdict.UNKNOWN


def test_an_inquiry_ranks_violation_over_lack_over_evidence() -> None:
    """An inquiry fails by one violation, is unknown by one lack, and passes by evidence alone."""

    def outcome(*acts: Callable[[Inquiry], None]) -> Verdict:
        inquiry = Inquiry("x")
        for act in acts:
            act(inquiry)
        return inquiry.finding("fine").verdict

    def saw(inquiry: Inquiry) -> None:
        inquiry.seen()

    def lacked(inquiry: Inquiry) -> None:
        inquiry.lacking("light")

    def broke(inquiry: Inquiry) -> None:
        inquiry.broken("kind", "message")

    assert outcome() is Verdict.UNKNOWN
    assert outcome(saw) is Verdict.PASS
    assert outcome(saw, lacked) is Verdict.UNKNOWN
    assert outcome(saw, lacked, broke) is Verdict.FAIL


def test_a_judgement_can_be_written_down() -> None:
    """A judgement's value holds each finding with its violations, for reports."""
    broken = once
    value = certify(Scene().ready().published().history, [broken]).as_value()

    assert value["verdict"] == "fail"
    assert value["findings"][0]["violations"][0]["kind"] == "lost"
