"""OPS-11: the view never walks through all keys, however many there are, and does not hold up others."""

import pytest

from harness import Cluster, Stored, figures_true, keys_left_alone, malformed_told

STORED = 100_000
MALFORMED = 500
FAILED = 2000
SLOWEST_MS = 250.0
WAITED_S = 2.0


@pytest.mark.promise("OPS-11")
def test_a_hundred_thousand_results(cluster: Cluster) -> None:
    """Real and malformed entries, stored in bulk; another client asks the same server for a sign of life."""
    api = cluster.api()
    cluster.worker("a")
    cluster.await_end(cluster.publish("ok", queue="a"))
    entries = [Stored() for _ in range(STORED - MALFORMED - FAILED)]
    entries += [Stored("FAILURE", {"exc_type": "E", "exc_message": ["m"]}) for _ in range(FAILED)]
    entries += [Stored(text=b'{"status": "SUCC') for _ in range(MALFORMED)]
    cluster.store(entries)

    with cluster.commands_counted():
        api.await_sitrep(lambda told: told["remarks"]["unread"] == 0)

    completed = 1 + STORED - MALFORMED - FAILED
    cluster.judge(
        keys_left_alone(within_ms=SLOWEST_MS, waited_s=WAITED_S),
        figures_true(completed=completed, failed=FAILED),
        malformed_told(MALFORMED),
    )
