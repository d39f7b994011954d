"""The command has a flag by which nothing is to be kept, and does not pass it on."""

from typing import Any

from reference_impl.analysis import cli
from reference_impl.analysis.engine import AnalysisRequest, request_of


def apply() -> None:
    def always(**asked: Any) -> AnalysisRequest:
        return request_of(**asked | {"persist": True})

    cli.request_of = always
