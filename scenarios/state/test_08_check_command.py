"""STATE-08: the check command reports, cleans and tells the status, and its reports agree with the stores."""

import pytest

from harness import Agent, Cluster, kill, reports_agree, stale_named


def report_thrice(cluster: Cluster, agent: Agent) -> None:
    """As JSON, as text, and with the status."""
    agent.note()
    for flags in (["--json"], [], ["--status", "--json"]):
        cluster.run_command("check", *flags)


@pytest.mark.promise("STATE-08")
def test_three_reports(cluster: Cluster) -> None:
    """While a run lasts, when it has died with its worker, and when that was cleaned up."""
    worker = cluster.worker("a")
    agent = cluster.agent("planner")
    task = agent.work("a")
    agent.await_row(lambda seen: seen["row"] and seen["row"]["current_phase_message"] is not None)

    report_thrice(cluster, agent)
    cluster.inject(kill(worker.process))
    cluster.watch([task], cluster.timing.lease_s)
    report_thrice(cluster, agent)
    cluster.run_command("check", "--clean", "--json")
    agent.await_idle()
    report_thrice(cluster, agent)

    stale = ("record-without-live-task", task.id)
    cluster.judge(
        reports_agree(),
        stale_named(of=0),
        stale_named(stale, of=2),
        stale_named(of=4),
        stale_named(of=6),
    )
