"""STALE-24: signals come late, twice and in any order; the record's life stays a legal one."""

from collections.abc import Sequence
from contextlib import suppress
from itertools import groupby

import pytest
from hypothesis import HealthCheck, Phase, example, given, seed, settings
from hypothesis import strategies as st

from harness import Cluster, NeverCame, Task, signals_accounted, transitions_legal

FIRST = ["prerun:1", "success:1", "failure:1", "retry:1"]
SECOND = ["prerun:2", "success:2", "failure:2", "retry:2"]
SIGNALS = st.lists(st.sampled_from(["published", "revoked", *FIRST, *SECOND]), min_size=1, max_size=8)
SPOKEN = st.lists(
    st.sampled_from([("a", name) for name in ["published", "revoked", *FIRST]] + [("b", name) for name in SECOND]),
    min_size=2,
    max_size=6,
)
ENDS = {"SUCCESS", "FAILURE", "REVOKED"}


def emit(cluster: Cluster, subject: Task, sequence: Sequence[str], queue: str) -> Task:
    """Have a worker send signals about `subject`; gives the task that sent them."""
    emitter = cluster.publish("emit", subject.id, sequence, queue=queue)
    emitter.await_end()
    return emitter


def await_written(cluster: Cluster, emitter: Task) -> None:
    """Wait until the signals of an emitter are written, and all that its worker sent before.

    A worker writes in order, so its report about the emitter itself comes after all of them. Where that never
    comes, the checks judge what is there.
    """

    def written() -> bool | None:
        return any(step["to_status"] in ENDS for step in cluster.view.audit(emitter.id)) or None

    with suppress(NeverCame):
        cluster.await_seen(f"the end of {emitter.id} in its trail", written)


@pytest.mark.promise("STALE-24")
def test_any_sequence_of_signals(cluster: Cluster, harness_seed: int) -> None:
    """Hypothesis chooses sequences; a worker sends them as Celery's own signals about tasks that never ran."""
    cluster.worker("a", pool="threads", concurrency=1)
    sequences: dict[Task, list[str]] = {}
    emitters: list[Task] = []

    @seed(harness_seed)
    @settings(
        max_examples=40,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    @given(SIGNALS)
    @example(["prerun:1", "success:1"])
    @example(["published", "success:1"])
    @example(["success:1", "prerun:1", "published"])
    @example(["prerun:1", "success:1", "prerun:2", "retry:1", "published", "failure:2", "revoked"])
    @example(["published", "prerun:1", "prerun:2", "success:1", "success:2"])
    @example(["prerun:1", "retry:1", "prerun:2", "failure:2"])
    def tell(sequence: list[str]) -> None:
        subject = cluster.unpublished("ok")
        sequences[subject] = sequence
        emitters.append(emit(cluster, subject, sequence, "a"))

    tell()
    await_written(cluster, emitters[-1])
    for subject in sequences:
        cluster.record(subject)
        cluster.audit(subject)

    cluster.judge(
        transitions_legal([subject.id for subject in sequences]),
        *(signals_accounted(subject.id, [("a", name) for name in said]) for subject, said in sequences.items()),
    )


@pytest.mark.promise("STALE-24")
def test_two_workers_speak_of_one_task(cluster: Cluster, harness_seed: int) -> None:
    """The first delivery is at one worker, the redelivery at another; each tells of its attempt in its turn."""
    for name in ("a", "b"):
        cluster.worker(name, pool="threads", concurrency=1)
    sequences: dict[Task, list[tuple[str, str]]] = {}

    @seed(harness_seed)
    @settings(
        max_examples=10,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    @given(SPOKEN)
    @example([("a", "prerun:1"), ("b", "prerun:2"), ("a", "success:1"), ("b", "success:2")])
    @example([("a", "prerun:1"), ("b", "prerun:2"), ("a", "retry:1"), ("b", "failure:2"), ("a", "success:1")])
    def tell(spoken: list[tuple[str, str]]) -> None:
        subject = cluster.unpublished("ok")
        sequences[subject] = spoken
        for worker, turn in groupby(spoken, key=lambda said: said[0]):
            await_written(cluster, emit(cluster, subject, [name for _, name in turn], worker))

    tell()
    for subject in sequences:
        cluster.record(subject)
        cluster.audit(subject)

    cluster.judge(
        transitions_legal([subject.id for subject in sequences]),
        *(signals_accounted(subject.id, said) for subject, said in sequences.items()),
    )
