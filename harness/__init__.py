"""A conformance and fault-injection harness for Celery task tracking.

A scenario is a pytest function that asks for the fixture `cluster`. It starts workers of the *subject*, gives
them tasks of the *workload*, arranges trouble by *marks* and *faults*, and ends with `cluster.judge(...)`, which
hands the *history* to pure *checks*. What scenarios need is listed here; everything else is the harness's own.
"""

from harness._checks_liveness import (
    cleanup_guarded,
    dead_tasks_closed,
    gil_was_held,
    heartbeat_moves,
    heartbeat_stands,
    live_tasks_untouched,
    sweep_says,
    unchanged_between,
    untouched_until,
)
from harness._checks_outcome import (
    audited,
    closed_once,
    ends_kept,
    executed,
    outcome_unharmed,
    signals_accounted,
    statuses_of_six,
    transitions_legal,
)
from harness._checks_record import (
    arguments_bounded,
    arguments_delivered,
    arguments_stored,
    failures_logged,
    logged_once,
    no_leaks,
    published_in_time,
    queue_time_told,
    still_up,
    times_true,
    worker_identified,
)
from harness._client import Client, ClientFailed
from harness._cluster import Cluster, Task, Worker
from harness._container_faults import (
    Dropped,
    disconnect,
    exhaust_memory,
    fill_disk,
    pause,
    skew_clock,
    split,
)
from harness._errors import HarnessError, NeverCame, SetupBroken, UsageError
from harness._faults import (
    Fault,
    expire_visibility,
    freeze,
    hold_rows,
    kill,
    pause_clients,
    refuse_writes,
    restart,
    sever,
    terminate_connections,
)
from harness._history import Entry, History, Kind
from harness._proxy import Mode
from harness._subject import CAPABILITIES, Place, Subject
from harness._timing import Timing
from harness._verdict import Check, Finding, Inquiry, Judgement, Verdict, Violation, certify
from harness._view import Record, View

__all__ = [
    "CAPABILITIES",
    "Check",
    "Client",
    "ClientFailed",
    "Cluster",
    "Dropped",
    "Entry",
    "Fault",
    "Finding",
    "HarnessError",
    "History",
    "Inquiry",
    "Judgement",
    "Kind",
    "Mode",
    "NeverCame",
    "Place",
    "Record",
    "SetupBroken",
    "Subject",
    "Task",
    "Timing",
    "UsageError",
    "Verdict",
    "View",
    "Violation",
    "Worker",
    "arguments_bounded",
    "arguments_delivered",
    "arguments_stored",
    "audited",
    "certify",
    "cleanup_guarded",
    "closed_once",
    "dead_tasks_closed",
    "disconnect",
    "ends_kept",
    "executed",
    "exhaust_memory",
    "expire_visibility",
    "failures_logged",
    "fill_disk",
    "freeze",
    "gil_was_held",
    "heartbeat_moves",
    "heartbeat_stands",
    "hold_rows",
    "kill",
    "live_tasks_untouched",
    "logged_once",
    "no_leaks",
    "outcome_unharmed",
    "pause",
    "pause_clients",
    "published_in_time",
    "queue_time_told",
    "refuse_writes",
    "restart",
    "sever",
    "signals_accounted",
    "skew_clock",
    "split",
    "statuses_of_six",
    "still_up",
    "sweep_says",
    "terminate_connections",
    "times_true",
    "transitions_legal",
    "unchanged_between",
    "untouched_until",
    "worker_identified",
]
