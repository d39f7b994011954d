"""The bench draws start-ups in which nobody gives up both witnesses of his life, and knows its parts."""

from collections import Counter
from dataclasses import fields
from random import Random

import pytest

from harness import Timing
from tests.bench.__main__ import arguments
from tests.bench.cost import _defaults
from tests.bench.start_up import LINK_TROUBLES, NO_LEASE, PAUSE, Plan, draw

TIMING = Timing()


@pytest.fixture(scope="module")
def plans() -> list[Plan]:
    """Enough of them that everything is drawn."""
    return [draw(Random(seed), TIMING) for seed in range(300)]  # noqa: S311 - to be repeated


def test_the_same_seed_draws_the_same_start_up() -> None:
    """A start-up can be played again."""
    assert draw(Random(7), TIMING) == draw(Random(7), TIMING)  # noqa: S311 - to be repeated


def test_a_worker_has_one_trouble_at_most(plans: list[Plan]) -> None:
    """Who cannot renew has a link that carries, and who cannot answer renews."""
    for plan in plans:
        assert max(Counter(trouble.worker for trouble in plan.troubles).values(), default=0) <= 1


def test_every_pause_is_shorter_than_a_lease(plans: list[Plan]) -> None:
    """With room for what a busy machine adds."""
    pauses = [trouble.lasts_s for plan in plans for trouble in plan.troubles if trouble.kind == PAUSE]

    assert 0 < max(pauses) < TIMING.lease_s


def test_every_kind_of_trouble_is_drawn(plans: list[Plan]) -> None:
    """In a few hundred start-ups none is left out."""
    drawn = {trouble.kind for plan in plans for trouble in plan.troubles}

    assert drawn == {PAUSE, NO_LEASE, *LINK_TROUBLES}


def test_workers_start_beside_others(plans: list[Plan]) -> None:
    """Somebody holds a task before the first start, and nobody starts twice."""
    for plan in plans:
        names = [*plan.veterans, *(name for name, _ in plan.starts)]

        assert plan.veterans
        assert plan.starts
        assert len(names) == len(set(names))


def test_parts_are_named() -> None:
    """Several parts, with rounds and a seed."""
    asked = arguments(["cost", "alarms", "--rounds", "10", "--seed", "7"])

    assert (asked.parts, asked.rounds, asked.seed) == (["cost", "alarms"], 10, 7)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["alarm"], "did you mean 'alarms'"),
        (["cost", "--rounds", "0"], "at least 1"),
        (["alarms", "--defect", "silence_is_deth"], "did you mean 'silence_is_death'"),
    ],
)
def test_what_makes_no_sense_is_refused(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the nearest name that exists, and before anything starts."""
    with pytest.raises(SystemExit) as ended:
        arguments(words)

    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_the_cost_is_that_of_an_unconfigured_tracker() -> None:
    """Its defaults, as far as they are numbers: the longest spans of the clockwork stand for what is off."""
    timing = _defaults()

    assert (timing.heartbeat_s, timing.lease_s) == (2.0, 10.0)
    assert {type(getattr(timing, field.name)) for field in fields(Timing)} == {float, str}
