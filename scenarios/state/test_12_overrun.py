"""STATE-12: a task that takes longer than it is allowed is told, in metrics too, and ended where so configured."""

from dataclasses import replace

import pytest

from harness import Cluster, ends_kept, executed, live_tasks_untouched, logged_once, metrics_told, overruns_told

ALLOWED_S = 1.5


@pytest.mark.promise("STATE-12")
def test_told_and_left_alone(cluster: Cluster) -> None:
    """One task takes too long, another has just begun: a WARNING, the sweep command and a gauge tell of the first."""
    strict = replace(cluster.timing, allowed_s=ALLOWED_S)
    worker = cluster.worker("a", concurrency=2, timing=strict, metrics=True)
    late = cluster.hold("a")
    cluster.await_log(worker.process, late.id, "overrunning")
    early = cluster.hold("a")
    cluster.run_command("sweep", timing=strict)
    cluster.scrape(worker, "while it overruns", at_least={"overrunning": 1})

    for task in (late, early):
        task.release()
        cluster.await_end(task)
    cluster.note_logs()

    cluster.judge(
        overruns_told(over=[late.id], within=[early.id]),
        metrics_told("while it overruns", {"overrunning": 1}),
        logged_once("the sweeps", "WARNING", [late.id, "overrunning"], worker.process.name, kind="overran-untold"),
        live_tasks_untouched(),
        ends_kept({task.id: {"status": "SUCCESS"} for task in (late, early)}),
    )


@pytest.mark.promise("STATE-12")
def test_ended_where_so_configured(cluster: Cluster) -> None:
    """A worker's sweep has the task ended that takes too long."""
    strict = replace(cluster.timing, allowed_s=ALLOWED_S, end_overruns="true")
    worker = cluster.worker("a", concurrency=2, timing=strict)
    late = cluster.publish("hold", queue="a")
    late.await_mark()
    cluster.await_record(late, {"REVOKED"}, within_s=ALLOWED_S + cluster.timing.recovery_bound_s)
    after = cluster.publish("ok", queue="a")
    cluster.await_end(after)
    cluster.note_logs()

    cluster.judge(
        ends_kept({late.id: {"status": "REVOKED"}, after.id: {"status": "SUCCESS"}}),
        executed(after.id, exactly=1),
        logged_once("the sweep", "WARNING", [late.id, "asked to end"], worker.process.name, kind="overran-untold"),
    )
