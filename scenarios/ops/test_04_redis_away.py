"""OPS-04: with Redis away the view falls back, says so, and keeps what it knows."""

import pytest

from harness import Cluster, Mode, Stored, absence_told, figures_true, sever


@pytest.mark.promise("OPS-04")
@pytest.mark.parametrize("mode", [Mode.REFUSE, Mode.HOLD], ids=["refuses", "is silent"])
def test_broker_and_backend_are_away(cluster: Cluster, mode: Mode) -> None:
    """From the API's side only; a worker goes on, and tells the registry of it."""
    api = cluster.api(behind_proxy=True)
    assert api.links is not None
    cluster.worker("a")
    cluster.await_end(cluster.publish("ok", queue="a"))
    cluster.store([Stored(), Stored("FAILURE", {"exc_type": "E", "exc_message": ["m"]})])
    held = cluster.hold("a")
    api.await_sitrep(lambda told: told["remarks"]["unread"] == 0 and told["figures"]["active"] == 1)

    both = dict.fromkeys([api.links.redis, api.links.broker])  # Redis is mostly the broker, too
    outages = [cluster.inject(sever(link, mode), await_landing=False) for link in both]
    api.await_sitrep(lambda told: not told["remarks"]["workers"] and not told["remarks"]["results_answered"])
    for outage in outages:
        cluster.heal(outage)
    api.await_sitrep(lambda told: told["remarks"]["results_answered"] and told["remarks"]["workers"])
    held.release()
    cluster.await_end(held)

    known = {"completed": 2, "failed": 1, "active": 1}
    bound_s = cluster.subject.limits["sitrep_s"]
    cluster.judge(
        figures_true(of=0, **known),
        absence_told("workers", of=1, within_s=bound_s, keeps=known),
        absence_told("results", of=1, within_s=bound_s),
        figures_true(of=2, **known),
    )


@pytest.mark.promise("OPS-04")
def test_postgres_is_away(cluster: Cluster) -> None:
    """What the registry said last is told again, and what workers execute is told as it is."""
    api = cluster.api(behind_proxy=True)
    cluster.worker("a")
    cluster.await_end(cluster.publish("ok", queue="a"))
    held = cluster.hold("a")
    api.await_sitrep(lambda told: told["figures"]["active"] == 1)

    outage = cluster.inject(sever(api.postgres, Mode.HOLD), await_landing=False)
    api.await_sitrep(lambda told: told["remarks"]["registry_answered"] is not True)
    cluster.heal(outage)
    held.release()
    cluster.await_end(held)

    known = {"completed": 1, "failed": 0, "active": 1}
    cluster.judge(absence_told("registry", within_s=cluster.subject.limits["sitrep_s"], keeps=known))
