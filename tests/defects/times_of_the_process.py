"""The time of publication is read from the publisher's own clock."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from reference_impl import ordinary


def apply() -> None:
    publish = ordinary._publish

    def published(report: Any) -> ordinary.Write:
        write = publish(report)
        own = ordinary.Statement(write.statement.text.replace(ordinary._MOMENT, "CAST(%(own)s AS timestamptz)"))
        return replace(write, statement=own, values={**write.values, "own": datetime.now(UTC)})

    ordinary._publish = published
