"""What goes where in a wheel.

An application may have packages named `harness` and `scenarios` of its own: installed, ours lie aside. In a checkout
that is installed for development they are found where they are.
"""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WheelLayout(BuildHookInterface[Any]):
    """Called by hatchling before it builds."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Put our packages aside, unless the build is for development."""
        if version == "standard":
            build_data["force_include"] |= {
                "harness/entry/celery_conformance": "celery_conformance",
                **{part: f"celery_conformance/bundle/{part}" for part in ("harness", "scenarios", "requirements.lock")},
            }
