"""Files go by their age alone."""

from sqlalchemy import text

from reference_impl.analysis import rows


def apply() -> None:
    rows._OUTDATED = text(rows._OUTDATED.text.replace("r.status IS NULL OR", "TRUE OR"))
