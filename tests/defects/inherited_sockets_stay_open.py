"""A child makes connections of its own, and keeps its parent's open: they outlive the parent, with their locks."""

from reference_impl import connections


class _Nothing(set[object]):
    """Remembers nothing, so that nothing is closed."""

    def add(self, _: object) -> None:
        """Forget it."""


def apply() -> None:
    connections._connections = _Nothing()  # type: ignore[assignment]
