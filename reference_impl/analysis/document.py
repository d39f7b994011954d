"""What is kept of an analysis: one document, whichever services it comes from, and whatever they said. No I/O.

A payload that breaks the schema is not lost: it stands among the raw outputs, under the name of its service, and the
document tells what is wrong. So does whatever a payload has beyond the schema.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reference_impl.analysis.frames import Choice, Outcome

LAYOUT = 1
_FLAT = ("findings", "tools_used", "tool_results", "raw_outputs")
"""What stood at the top of a document before it had `results`."""


class Standing(StrEnum):
    """How an analysis has ended, all services together."""

    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    INVALID = "invalid"
    FAILED = "failed"


class Payload(BaseModel):
    """What a service says in its answer."""

    model_config = ConfigDict(extra="allow", strict=True)

    findings: list[dict[str, Any]] = Field(default_factory=list)
    tools_used: list[str] = Field(default_factory=list)
    tool_results: dict[str, Any] = Field(default_factory=dict)
    raw_outputs: dict[str, Any] = Field(default_factory=dict)
    summary: dict[str, Any] = Field(default_factory=dict)
    success: bool = True


class Results(BaseModel):
    """What all services found."""

    findings: list[dict[str, Any]]
    tools_used: list[str]
    tool_results: dict[str, Any]
    raw_outputs: dict[str, Any]
    summary: dict[str, Any]
    success: bool


class Summary(BaseModel):
    """The same in figures."""

    total_findings: int
    services_executed: list[str]
    tools_executed: list[str]
    status: Standing


class ServiceState(BaseModel):
    """How one service has ended."""

    outcome: Outcome
    error: str | None


class Document(BaseModel):
    """What both stores hold; `timestamp` is the moment of the end, in UTC."""

    layout: int = LAYOUT
    task_id: str
    target: str
    analysis_type: str
    app_number: int
    timestamp: datetime
    metadata: dict[str, Any]
    results: Results
    summary: Summary
    services: dict[str, ServiceState]
    invalid: list[str] = Field(description="how payloads break the schema; empty where none does")

    @property
    def is_empty(self) -> bool:
        """Whether no service has said anything."""
        told = self.results
        return not (told.findings or told.tools_used or told.tool_results or told.raw_outputs or told.summary)


def gather(
    choices: Sequence[Choice],
    *,
    task_id: str,
    target: str,
    analysis_type: str,
    app_number: int,
    timestamp: datetime,
    metadata: Mapping[str, Any],
) -> Document:
    """One document of what the services said."""
    payloads: dict[str, Payload] = {}
    raw: dict[str, dict[str, Any]] = {}
    invalid: list[str] = []
    for choice in choices:
        try:
            payloads[choice.service] = Payload.model_validate(choice.payload if choice.payload is not None else {})
        except ValidationError as error:
            raw[choice.service] = {choice.service: choice.payload}
            invalid += [_told(choice.service, problem) for problem in error.errors()]
        else:
            raw[choice.service] = {choice.service: extra} if (extra := payloads[choice.service].model_extra) else {}
    tools = sorted({tool for payload in payloads.values() for tool in payload.tools_used})
    findings = [finding for payload in payloads.values() for finding in payload.findings]
    standing = _standing(choices, invalid)
    return Document(
        task_id=task_id,
        target=target,
        analysis_type=analysis_type,
        app_number=app_number,
        timestamp=timestamp,
        metadata=dict(metadata),
        results=Results(
            findings=findings,
            tools_used=tools,
            tool_results=_merged((name, payload.tool_results) for name, payload in payloads.items()),
            raw_outputs=_merged([*((name, payload.raw_outputs) for name, payload in payloads.items()), *raw.items()]),
            summary={name: payload.summary for name, payload in payloads.items() if payload.summary},
            success=standing is Standing.COMPLETED and all(payload.success for payload in payloads.values()),
        ),
        summary=Summary(
            total_findings=len(findings),
            services_executed=[choice.service for choice in choices if choice.outcome is not Outcome.ERROR],
            tools_executed=tools,
            status=standing,
        ),
        services={choice.service: ServiceState(outcome=choice.outcome, error=choice.error) for choice in choices},
        invalid=invalid,
    )


def upgraded(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A stored document in the present layout; one of an older layout is flat, and has no figures of its own."""
    if "results" in stored and stored.get("layout") == LAYOUT:
        return dict(stored)
    results = dict(stored.get("results") or {name: stored[name] for name in _FLAT if name in stored})
    findings, tools = results.get("findings") or [], results.get("tools_used") or []
    success = bool(results.get("success", stored.get("success", True)))
    status = Standing.COMPLETED if success else Standing.INCOMPLETE
    return {
        "layout": LAYOUT,
        "task_id": stored.get("task_id"),
        "target": stored.get("target"),
        "analysis_type": stored.get("analysis_type"),
        "app_number": stored.get("app_number", 0),
        "timestamp": stored.get("timestamp"),
        "metadata": stored.get("metadata") or {},
        "results": {
            "findings": findings,
            "tools_used": tools,
            "tool_results": results.get("tool_results") or {},
            "raw_outputs": results.get("raw_outputs") or {},
            "summary": results.get("summary") or {},
            "success": success,
        },
        "summary": {"total_findings": len(findings), "services_executed": [], "tools_executed": tools, "status": status}
        | (stored.get("summary") or {}),
        "services": stored.get("services") or {},
        "invalid": stored.get("invalid") or [],
    }


def _standing(choices: Sequence[Choice], invalid: Sequence[str]) -> Standing:
    if all(choice.outcome is Outcome.ERROR for choice in choices):
        return Standing.FAILED
    if invalid:
        return Standing.INVALID
    if all(choice.outcome is Outcome.COMPLETED for choice in choices):
        return Standing.COMPLETED
    return Standing.INCOMPLETE


def _merged(parts: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """All of them; what two services call by one name is told with the name of the later one."""
    merged: dict[str, Any] = {}
    for service, part in parts:
        for name, value in part.items():
            merged[name if name not in merged else f"{name} ({service})"] = value
    return merged


def _told(service: str, problem: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    return f"{service}{'.' if place else ''}{place}: {problem['msg']}"
