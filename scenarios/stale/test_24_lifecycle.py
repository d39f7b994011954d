"""STALE-24: signals come late, twice and in any order; the record's life stays a legal one."""

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from harness import Cluster, Task, signals_accounted, transitions_legal

SIGNALS = st.lists(
    st.sampled_from(
        ["published", "prerun:1", "success:1", "failure:1", "retry:1", "prerun:2", "success:2", "failure:2", "revoked"]
    ),
    min_size=1,
    max_size=8,
)
ENDS = {"success": "SUCCESS", "failure": "FAILURE", "revoked": "REVOKED"}


@pytest.mark.promise("STALE-24")
def test_any_sequence_of_signals(cluster: Cluster, harness_seed: int) -> None:
    """Hypothesis chooses sequences; a worker sends them as Celery's own signals about tasks that never ran."""
    cluster.worker("a", pool="threads")
    sequences: dict[Task, list[str]] = {}

    @seed(harness_seed)
    @settings(
        max_examples=40, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=[*HealthCheck]
    )
    @given(SIGNALS)
    def emit(sequence: list[str]) -> None:
        subject = cluster.unpublished("ok")
        sequences[subject] = sequence
        emitter = cluster.publish("emit", subject.id, sequence, queue="a")
        emitter.await_end()

    emit()
    for subject in sequences:
        cluster.record(subject)
        cluster.audit(subject)

    ended = {
        subject.id: [ENDS[name.partition(":")[0]] for name in sequence if name.partition(":")[0] in ENDS]
        for subject, sequence in sequences.items()
    }
    cluster.judge(transitions_legal(list(ended)), *(signals_accounted(task, ends) for task, ends in ended.items()))
