"""The alert rules: each parses, says what a person needs, and asks for metrics and labels that the tracker has."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client import REGISTRY

import reference_impl
from reference_impl.lifecycle import Status
from reference_impl.metrics import OPEN_TASKS, OVERRUNNING

RULES = Path(reference_impl.__file__).parent / "alerts" / "celery-tracker.rules.yml"
OF_THE_SCRAPE = {"job", "instance"}
"""Labels that Prometheus itself gives to whatever it scrapes."""


def rules() -> list[dict[str, Any]]:
    """Every rule of the file."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def exposed() -> dict[str, list[dict[str, str]]]:
    """By the name of each sample that the tracker tells, the labels that it has."""
    found: dict[str, list[dict[str, str]]] = {
        OPEN_TASKS: [{"status": status} for status in Status],
        OVERRUNNING: [{}],
    }
    for family in REGISTRY.collect():
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def nodes(expression: promql_parser.Expr) -> Iterator[promql_parser.Expr]:
    """Every part of an expression."""
    found: list[promql_parser.Expr] = []
    promql_parser.walk(expression, found.append)
    yield from found


every_rule = pytest.mark.parametrize("rule", [pytest.param(rule, id=rule["alert"]) for rule in rules()])


@every_rule
def test_a_rule_says_what_a_person_needs(rule: dict[str, Any]) -> None:
    """A severity, a summary and a description."""
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert rule["annotations"].keys() == {"summary", "description"}
    assert all(rule["annotations"].values())


@every_rule
def test_a_rule_asks_for_what_there_is(rule: dict[str, Any]) -> None:
    """Its expression is PromQL, and each series that it selects is one that the tracker exposes."""
    there = exposed()

    selectors = [
        node for node in nodes(promql_parser.parse(rule["expr"])) if isinstance(node, promql_parser.VectorSelector)
    ]

    assert selectors
    for selector in selectors:
        wanted = {matcher.name: matcher.value for matcher in selector.matchers.matchers}
        assert any(wanted.items() <= labels.items() for labels in there.get(selector.name or "", [])), selector


@every_rule
def test_a_rule_groups_by_labels_that_there_are(rule: dict[str, Any]) -> None:
    """What an alert is told apart by is a label of the scrape."""
    sums = [node for node in nodes(promql_parser.parse(rule["expr"])) if isinstance(node, promql_parser.AggregateExpr)]

    assert sums
    for each in sums:
        assert each.modifier is not None
        assert set(each.modifier.labels) <= OF_THE_SCRAPE


def test_the_rules_cover_what_was_promised() -> None:
    """Stale tasks, tracking errors, the failure rate and overruns have a rule."""
    asked = " ".join(rule["expr"] for rule in rules())

    for name in ("stale_tasks_found", "tracking_errors", 'tasks_ended_total{status="FAILURE"}', "sweep_overruns"):
        assert f"celery_tracker_{name}" in asked


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on PATH")
def test_promtool_takes_the_rules() -> None:
    """Prometheus' own checker finds nothing wrong, where it is installed."""
    done = subprocess.run(["promtool", "check", "rules", RULES], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
