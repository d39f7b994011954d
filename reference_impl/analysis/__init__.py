"""A small analysis pipeline whose results are kept twice: in the database, and as files.

`engine` begins an analysis, for code, the API or the command line. The task has the `orchestrator` ask each analyser
service over a WebSocket; `frames` says which of their frames counts. `document` makes one document of what they said,
and `persistence` gives it to both stores: `rows`, and `files`.
"""

from reference_impl.analysis.engine import NotAnalysedError, analyse

__all__ = ["NotAnalysedError", "analyse"]
