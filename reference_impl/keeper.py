"""The keeper: a small process beside each worker that renews its lease.

It stands outside the worker's interpreter, because a task inside a C call that holds the GIL starves every
thread of the worker, and a renewal from in there would stop while the task is well. It renews only while the
worker's main process exists and is not stopped, and touches the heartbeat of a task only while the child that
executes it exists and is not stopped. One statement per interval, whatever number of tasks runs. It ends with
the worker, and imports neither Celery nor SQLAlchemy so that it starts fast and stays small.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

logger = logging.getLogger("reference_impl.keeper")

RENEW = """
WITH lease AS (
    INSERT INTO celery_worker_incarnation (incarnation_id, node, pid, lease_s, started_at, renewed_at)
    VALUES (%(incarnation_id)s, %(node)s, %(pid)s, %(lease_s)s, clock_timestamp(), clock_timestamp())
    ON CONFLICT (incarnation_id) DO UPDATE SET renewed_at = clock_timestamp()
)
UPDATE celery_task_registry SET last_heartbeat = clock_timestamp()
WHERE incarnation_id = %(incarnation_id)s AND status = 'STARTED' AND worker_pid = ANY(%(executing)s)
"""


@dataclass(frozen=True)
class Charge:
    """The worker that a keeper renews for; `created` tells a recycled pid from the worker's."""

    database_url: str
    incarnation_id: str
    node: str
    pid: int
    created: float
    interval_s: float
    lease_s: float


def keep(charge: Charge) -> None:
    """Renew until the worker is gone."""
    connection: psycopg.Connection | None = None
    failing = False
    due = time.monotonic()
    while _exists(charge):
        executing = _running_pids(charge)
        if executing:
            try:
                connection = connection or _connect(charge)
                connection.execute(RENEW, {**vars(charge), "executing": executing})
                failing = False
            except psycopg.Error as error:
                if not failing:
                    logger.error("tracking: the lease of %s was not renewed: %s", charge.node, _first_line(error))
                failing = True
                if connection is not None:
                    connection.close()
                connection = None
        due = max(due + charge.interval_s, time.monotonic())
        _wait_for_end(charge, due - time.monotonic())


def _connect(charge: Charge) -> psycopg.Connection:
    return psycopg.connect(
        charge.database_url,
        autocommit=True,
        connect_timeout=2,
        application_name=f"celery-tracker keeper {charge.node}"[:63],
        options=f"-c statement_timeout={int(charge.lease_s * 1000)}",
        tcp_user_timeout=int(charge.lease_s * 1000),
    )


def _exists(charge: Charge) -> bool:
    try:
        worker = psutil.Process(charge.pid)
        return worker.create_time() == charge.created and worker.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _running_pids(charge: Charge) -> list[int]:
    """The worker and its children, less those that are stopped; empty when the worker itself is stopped."""
    stopped = {psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP, psutil.STATUS_ZOMBIE}
    try:
        worker = psutil.Process(charge.pid)
        if worker.status() in stopped:
            return []
        family = [charge.pid, *_children(worker)]
    except psutil.NoSuchProcess:
        return []
    running = []
    for pid in family:
        try:
            if pid != os.getpid() and psutil.Process(pid).status() not in stopped:
                running.append(pid)
        except psutil.NoSuchProcess:
            continue
    return running


def _children(worker: psutil.Process) -> list[int]:
    """Its direct children; where the kernel lists them, without a look at every other process of the machine."""
    threads = Path(f"/proc/{worker.pid}/task")
    if not (threads / str(worker.pid) / "children").exists():
        return [child.pid for child in worker.children()]
    found = []
    for listed in threads.glob("*/children"):
        try:
            found += [int(pid) for pid in listed.read_text().split()]
        except OSError:  # this thread, or the whole worker, ended meanwhile
            continue
    return found


def _wait_for_end(charge: Charge, timeout_s: float) -> None:
    """Wait for the next interval, or less if the worker ends."""
    try:
        psutil.Process(charge.pid).wait(timeout=max(0.0, timeout_s))
    except (psutil.TimeoutExpired, psutil.NoSuchProcess):
        return


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


def main() -> None:
    """Read the charge from standard input and keep it."""
    logging.basicConfig(format="[%(asctime)s: %(levelname)s/keeper] %(message)s", level=logging.INFO)
    # A warm shutdown signals the whole group; the lease must hold until the worker has finished its tasks.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    keep(Charge(**json.load(sys.stdin)))


if __name__ == "__main__":
    main()
