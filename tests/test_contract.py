"""The API against its own description: whatever is asked, it answers as its OpenAPI document says, and never fails."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from tests.conftest import API_TOKEN

ABOUT_ONE = ["GET /tasks/{task_id}", "GET /tasks/{task_id}/result", "GET /tasks/{task_id}/result/content"]
VIEWS = [
    *("GET /agents", "GET /agents/{name}", "GET /scheduler/sitrep", "GET /scheduler/tasks"),
    *("POST /api/analysis/run", "GET /api/analysis/{task_id}", "GET /api/analysis/{task_id}/file"),
]
ASKED = ["GET /tasks", *VIEWS, *ABOUT_ONE, "POST /tasks/{task_id}/cancel"]
TASKS = ["done", "expired", "failed", "waiting"]
SHORTLY_S = 0.05


@pytest.mark.usefixtures("lives")
@pytest.mark.parametrize(
    ("label", "mode"),
    [
        *((label, mode) for label in ASKED for mode in GenerationMode),
        ("GET /health", GenerationMode.POSITIVE),
        ("GET /metrics", GenerationMode.POSITIVE),
    ],
)
def test_whatever_is_asked(api_url: str, label: str, mode: GenerationMode) -> None:
    """With a token: what the document allows and what it does not, about tasks that exist and such that do not."""
    operation = schemathesis.openapi.from_url(f"{api_url}/openapi.json").find_operation_by_label(label)
    assert operation is not None

    @settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(mode), known=st.sampled_from([None, *TASKS]))
    def ask(case: Case[Any], known: str | None) -> None:
        if known is not None and "task_id" in case.path_parameters:
            case.path_parameters["task_id"] = known
        if isinstance(case.query.get("wait"), int | float) and case.query["wait"] > SHORTLY_S:
            case.query["wait"] = SHORTLY_S
        # Both judge requests as they were made up, and not as they were changed above.
        beside_the_point: list[Any] = [negative_data_rejection, positive_data_acceptance]
        case.call_and_validate(
            headers={"Authorization": f"Bearer {API_TOKEN}"}, excluded_checks=beside_the_point, timeout=30
        )

    ask()


def test_nothing_else_is_served(api_url: str) -> None:
    """The document names all that there is, but for itself and the sockets; no page loads scripts from elsewhere."""
    described = httpx2.get(f"{api_url}/openapi.json", trust_env=False).json()["paths"]

    assert {f"{method.upper()} {path}" for path, methods in described.items() for method in methods} == {
        *ASKED,
        "GET /health",
        "GET /metrics",
    }
    assert {httpx2.get(f"{api_url}/{page}", trust_env=False).status_code for page in ("docs", "redoc", "")} == {404}


@pytest.mark.parametrize("label", [*ASKED, "GET /metrics"])
def test_nobody_is_answered_without_a_token(api_url: str, label: str) -> None:
    """Whatever is asked without one is a 401, as the document says."""
    operation = schemathesis.openapi.from_url(f"{api_url}/openapi.json").find_operation_by_label(label)
    assert operation is not None

    @settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def ask(case: Case[Any]) -> None:
        answer = case.call_and_validate(headers={"Authorization": ""}, excluded_checks=[positive_data_acceptance])

        assert answer.status_code == 401

    ask()
