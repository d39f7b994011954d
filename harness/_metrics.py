"""Metrics as Prometheus gets them: fetched over HTTP, in its text format, and found under a subject's own names."""

from __future__ import annotations

import http.client
import urllib.request
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

SCRAPE_S = 10.0
"""Prometheus gives up a scrape after this, unless told otherwise."""
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def scraped(url: str, token: str | None = None) -> str | None:
    """What it answers; None as long as it does not."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})  # noqa: S310 - ours
    try:
        with _DIRECT.open(request, timeout=SCRAPE_S) as answer:
            return str(answer.read().decode())
    except (OSError, http.client.HTTPException):
        return None


def picked(text: str, names: Mapping[str, str]) -> dict[str, float | None]:
    """By the harness's name, the sum of the samples that have a subject's name and labels; None where there is none."""
    samples = list(_samples(text))
    told: dict[str, float | None] = {}
    for name, selector in names.items():
        (wanted,) = _samples(f"{selector} 0\n")
        found = [
            sample.value
            for sample in samples
            if sample.name == wanted.name and wanted.labels.items() <= sample.labels.items()
        ]
        told[name] = sum(found) if found else None
    return told


def _samples(text: str) -> list[Sample]:
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]
