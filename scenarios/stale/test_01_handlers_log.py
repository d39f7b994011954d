"""STALE-01: a tracking handler that fails costs a log line, not a task."""

from random import Random

import pytest

from harness import (
    Cluster,
    dead_tasks_closed,
    failures_logged,
    fill_disk,
    hide_table,
    kill,
    logged_once,
    outcome_unharmed,
    refuse_writes,
    still_up,
)

CAUSE = "refused by the conformance harness"
PLANS = {
    "publish": ("NEW.status = 'PENDING'", "ok", ("SUCCESS", "'done'"), {}),
    "prerun": ("NEW.status = 'STARTED'", "ok", ("SUCCESS", "'done'"), {}),
    "success": ("NEW.status = 'SUCCESS'", "ok", ("SUCCESS", "'done'"), {}),
    "failure": ("NEW.status = 'FAILURE'", "fail", ("FAILURE", None), {}),
    "retry": ("NEW.status = 'RETRY' AND NEW.error_message IS NOT NULL", "retry_once", ("SUCCESS", "'retried'"), {}),
    "revoked": ("NEW.status = 'REVOKED'", "ok", ("REVOKED", None), {"expires": -1}),
}


@pytest.mark.promise("STALE-01")
def test_each_handler_fails_in_turn(cluster: Cluster) -> None:
    """The database refuses what each lifecycle handler writes, one handler after the other."""
    worker = cluster.worker("a")
    table = cluster.subject.tables["registry"]
    expected_failures, expected_ends = [], {}

    for handler, (condition, name, end, options) in PLANS.items():
        fault = cluster.inject(refuse_writes(cluster.database_url, table, condition), await_landing=False)
        task = cluster.publish(name, queue="a", options=options)
        cluster.result(task)
        cluster.await_landing(fault)
        cluster.heal(fault)
        expected_failures.append(("client" if handler == "publish" else "worker-a", task.id, CAUSE))
        expected_ends[task.id] = end

    cluster.await_log(worker.process, expected_failures[-1][1], CAUSE)
    cluster.inspect()
    cluster.note_logs()
    cluster.judge(outcome_unharmed(expected_ends), failures_logged(expected_failures), still_up([worker.node]))


@pytest.mark.promise("STALE-01")
def test_the_sweep_at_start_fails(cluster: Cluster) -> None:
    """The database refuses what the sweep of a starting worker writes; the sweep succeeds once it may."""
    first = cluster.worker("a")
    stale = cluster.hold("a")
    cluster.inject(kill(first.process))
    table = cluster.subject.tables["registry"]
    fault = cluster.inject(
        refuse_writes(cluster.database_url, table, "NEW.status IN ('REVOKED', 'FAILURE')"), await_landing=False
    )

    second = cluster.worker("b")
    cluster.await_landing(fault)
    cluster.await_log(second.process, stale.id, CAUSE)
    task = cluster.publish("ok", queue="b")
    cluster.result(task)
    cluster.inspect()
    cluster.note_logs()
    cluster.heal(fault)
    cluster.await_record(stale, {"REVOKED", "FAILURE"})

    cluster.judge(
        outcome_unharmed({task.id: ("SUCCESS", "'done'")}),
        failures_logged([("worker-b", stale.id, CAUSE)]),
        still_up([second.node]),
        dead_tasks_closed(cluster.timing.recovery_bound_s),
    )


@pytest.mark.promise("STALE-01")
@pytest.mark.requires("registration-table")
def test_sweeps_fail_as_a_whole(cluster: Cluster) -> None:
    """A table that every sweep asks for is gone: that is one line, tasks are executed, and sweeps go on afterwards."""
    victim = cluster.worker("a")
    sweeper = cluster.worker("b")
    stale = cluster.hold("a")

    fault = cluster.inject(
        hide_table(cluster.database_url, cluster.subject.tables["registration"]), await_landing=False
    )
    cluster.await_log(sweeper.process, "ERROR", "sweep", "does not exist")
    cluster.await_landing(fault)
    task = cluster.publish("ok", queue="b")
    cluster.result(task)
    cluster.inspect()
    cluster.heal(fault)
    cluster.inject(kill(victim.process))
    cluster.await_record(stale, {"REVOKED", "FAILURE"})
    cluster.note_logs()

    words = ["sweep by", sweeper.node, "does not exist"]
    cluster.judge(
        outcome_unharmed({task.id: ("SUCCESS", "'done'")}),
        logged_once("the sweeps of the worker", "ERROR", words, sweeper.process.name, kind="silent-failure"),
        still_up([sweeper.node]),
        dead_tasks_closed(cluster.timing.recovery_bound_s),
    )


@pytest.mark.containers
@pytest.mark.promise("STALE-01")
def test_the_database_has_no_space_left(cluster: Cluster, harness_seed: int) -> None:
    """The disk under the registry is full: arguments that need a page of their own cannot be stored."""
    cluster.worker("a")
    before = cluster.publish("ok", queue="a")
    cluster.result(before)
    incompressible = Random(harness_seed).randbytes(4000).hex()  # noqa: S311 - to be repeated, not a secret

    table = cluster.subject.tables["registry"]
    fault = cluster.inject(fill_disk(cluster.servers.postgres, cluster.database_url, table), await_landing=False)
    task = cluster.publish("ok", incompressible, queue="a")
    cluster.result(task)
    cluster.await_landing(fault)
    cluster.heal(fault)
    after = cluster.publish("ok", queue="a")
    cluster.result(after)
    cluster.inspect()
    cluster.note_logs()

    done = ("SUCCESS", "'done'")
    cluster.judge(
        outcome_unharmed({before.id: done, task.id: ("SUCCESS", f"str of {len(incompressible)}"), after.id: done}),
        failures_logged([("client", task.id, "No space left on device")]),
    )
