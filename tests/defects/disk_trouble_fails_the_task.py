"""What goes wrong with the disk goes through to the task."""

from typing import Any

from reference_impl.analysis import persistence


def apply() -> None:
    write = persistence.write_file

    def loudly(engine: Any, settings: Any, document: Any) -> None:
        try:
            write(engine, settings, document)
        except OSError as error:
            raise RuntimeError(str(error)) from error

    persistence.write_file = loudly
