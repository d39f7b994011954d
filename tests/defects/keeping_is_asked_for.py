"""Whoever asks over HTTP has to say that the result is to be kept."""

from reference_impl.analysis.engine import AnalysisRequest


def apply() -> None:
    AnalysisRequest.model_fields["persist"].default = False
    AnalysisRequest.model_rebuild(force=True)
