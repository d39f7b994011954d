"""The application's engine is made once, at its import, and its children go on with its connections."""

from reference_impl import connections


class _Nothing(set[object]):
    """Remembers nothing, so that there is nothing to let go of."""

    def add(self, _: object) -> None:
        """Forget it."""


def apply() -> None:
    connections._engines = _Nothing()  # type: ignore[assignment]
    connections._connections = _Nothing()  # type: ignore[assignment]
