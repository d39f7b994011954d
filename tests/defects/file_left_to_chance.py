"""Results are written to the database, and not to disk."""

from typing import Any

from reference_impl.analysis import persistence, rows


def apply() -> None:
    def note_only(engine: Any, _settings: Any, document: Any) -> None:
        with engine.begin() as connection:
            rows.note_file(connection, document, "nowhere/app1/task/result.json")

    persistence.write_file = note_only
