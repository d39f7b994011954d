"""Requests to a subject's API, and its answers in the harness's own words: the checks need not know the subject's."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from harness._subject import ApiPlace, ApiShape

ANSWER_S = 15.0
"""An answer that is not held back by request is there within this, on two loaded cores."""
SHOWN_BYTES = 65_536
"""Larger bodies are told by size and digest."""


@dataclass(frozen=True)
class Asked:
    """One request about a task or an agent: a path of the shape by its name, or one that begins with a slash."""

    path: str
    task_id: str | None = None
    token: str | None = None
    method: str = "GET"
    query: Mapping[str, Any] | None = None
    body: bytes | None = None
    agent: str | None = None


def healthy(place: ApiPlace, shape: ApiShape) -> bool | None:
    """Whether it answers that it is well; None where it does not, as for a wait."""
    try:
        with httpx2.Client(trust_env=False, timeout=ANSWER_S) as client:
            return client.get(f"{place.url}{shape.paths['health']}").status_code == httpx2.codes.OK or None
    except httpx2.HTTPError:
        return None


def answer_to(asked: Asked, place: ApiPlace, shape: ApiShape) -> dict[str, Any]:
    """What came back, redirections followed, as a value for the history; `status` is None where nothing came.

    `fields` is a status in the harness's words, where the body is one. Of a body larger than `SHOWN_BYTES` only the
    size and the digest are told.
    """
    path = asked.path if asked.path.startswith("/") else shape.paths[asked.path]
    path = path.format(task_id=asked.task_id or "", agent=asked.agent or "")
    given = {"Authorization": f"Bearer {asked.token}"} if asked.token is not None else {}
    if asked.body is not None:
        given["Content-Type"] = "application/json"
    value: dict[str, Any] = {"surface": "api", "asked": asked.path, "method": asked.method, "path": path}
    began = time.monotonic()
    try:
        with (
            httpx2.Client(trust_env=False, timeout=ANSWER_S, base_url=place.url, follow_redirects=True) as client,
            client.stream(
                asked.method,
                path,
                params=asked.query,
                headers=given,
                content=asked.body,
            ) as answer,
        ):
            body, size, digest = b"", 0, hashlib.sha256()
            for piece in answer.iter_bytes():
                size += len(piece)
                digest.update(piece)
                body += piece if size <= SHOWN_BYTES else b""
    except httpx2.HTTPError as error:
        return value | {
            "status": None,
            "error": f"{type(error).__name__}: {error}",
            "seconds": time.monotonic() - began,
        }
    told = _json(body) if size <= SHOWN_BYTES else None
    headers = {name: answer.headers.get(header) for name, header in shape.headers.items()}
    return value | {
        "status": answer.status_code,
        "via": [before.status_code for before in answer.history],
        "headers": headers,
        "size": size,
        "sha256": digest.hexdigest(),
        "body": told,
        "fields": status_fields(told, shape),
        "seconds": time.monotonic() - began,
    }


def status_fields(body: object, shape: ApiShape) -> dict[str, Any] | None:
    """A status in the harness's words; None where the body is none."""
    if not isinstance(body, Mapping) or shape.fields["status"] not in body or shape.fields["task_id"] not in body:
        return None
    fields = {ours: body.get(theirs) for ours, theirs in shape.fields.items() if theirs in body}
    if isinstance(progress := fields.get("progress"), Mapping):
        ours = {theirs: name for name, theirs in shape.progress_fields.items()}
        fields["progress"] = {ours.get(name, name): value for name, value in progress.items()}
    return fields


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
