"""Liveness: death takes both witnesses and a watch that had no gap; everything less is alive or unknown."""

from __future__ import annotations

import itertools

import pytest

from reference_impl.liveness import Evidence, Liveness, judge

EVERYTHING = [Evidence(*flags) for flags in itertools.product([False, True], repeat=6)]


@pytest.mark.parametrize("evidence", EVERYTHING)
def test_death_takes_both_witnesses_and_the_watch(evidence: Evidence) -> None:
    """An incarnation is dead exactly when its watched lease ran out and a trusted broker was silent twice."""
    liveness, _ = judge(evidence)

    twice = evidence.broker_works and evidence.silent_before
    silent_through_broker = not evidence.answered and (twice or evidence.broker_excused)
    assert (liveness is Liveness.DEAD) == (evidence.lease_ran_out and evidence.watched and silent_through_broker)


@pytest.mark.parametrize("evidence", EVERYTHING)
def test_any_sign_of_life_means_alive(evidence: Evidence) -> None:
    """An incarnation lives exactly when its lease is renewed or it answers."""
    liveness, _ = judge(evidence)

    assert (liveness is Liveness.ALIVE) == (not evidence.lease_ran_out or evidence.answered)


@pytest.mark.parametrize("evidence", [evidence for evidence in EVERYTHING if evidence.broker_excused])
def test_force_replaces_the_brokers_proof_and_nothing_else(evidence: Evidence) -> None:
    """With --force the verdict is the one that two calls through a working broker would give."""
    forced, _ = judge(evidence)
    proved, _ = judge(
        Evidence(evidence.lease_ran_out, evidence.watched, evidence.answered, broker_works=True, silent_before=True)
    )

    assert forced is proved


@pytest.mark.parametrize(
    ("evidence", "says"),
    [
        (Evidence(False, True, False, True), "its lease is being renewed"),
        (Evidence(True, True, True, True), "it answers through the broker"),
        (Evidence(True, False, False, True), "have not been watching for a full lease"),
        (Evidence(True, True, False, False), "the broker is not shown to work"),
        (Evidence(True, True, False, True), "silent through a working broker; it is asked again"),
        (Evidence(True, True, False, True, silent_before=True), "it is silent through a working broker"),
        (Evidence(True, True, False, False, True), "replaced by --force"),
    ],
)
def test_the_verdict_explains_itself(evidence: Evidence, says: str) -> None:
    """Each verdict comes with a sentence that names the evidence which decided."""
    _, why = judge(evidence)

    assert says in why
