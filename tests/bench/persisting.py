"""What it costs to keep a result of a megabyte in both stores, beside keeping it in the database alone."""

from __future__ import annotations

import statistics
import time
from datetime import UTC, datetime

from rich.table import Table

from reference_impl.analysis import rows
from reference_impl.analysis.document import Document, gather
from reference_impl.analysis.frames import Choice, Outcome
from reference_impl.analysis.persistence import persist
from reference_impl.connections import open_engine
from reference_impl.settings import load_settings
from tests.bench.world import Bench, clusters_on, console

ROUNDS = 30
BYTES = 1_000_000


def run(bench: Bench) -> bool:
    """Nothing is judged: all of it depends on the machine."""
    rounds = bench.rounds or ROUNDS
    chance = bench.chance("persisting")
    raw = chance.randbytes(BYTES // 2).hex()
    took: dict[str, list[float]] = {"database": [], "both, as it is": [], "both, packed": []}
    with clusters_on("embedded", bench.home) as clusters, clusters.cluster("persisting", bench.home) as cluster:
        settings = {
            name: load_settings(
                database_url=cluster.database_url,
                results_directory=bench.home / "results",
                results_gzip_bytes=limit,
            )
            for name, limit in (("both, as it is", 1 << 40), ("both, packed", 0))
        }
        engine = open_engine(settings["both, packed"])
        for number in range(rounds):
            began = time.monotonic()
            with engine.begin() as connection:
                rows.finish(connection, _document(f"database-{number}", raw))
            took["database"].append(time.monotonic() - began)
            for name, used in settings.items():
                began = time.monotonic()
                persist(engine, used, _document(f"{name}-{number}", raw))
                took[name].append(time.monotonic() - began)
        engine.dispose()
    table = Table("kept in", "median", "beside the database alone", box=None)
    alone = statistics.median(took["database"])
    for name, each in took.items():
        table.add_row(name, f"{1000 * statistics.median(each):.0f} ms", f"{statistics.median(each) / alone:.2f}")
    console.print(table)
    console.print(f"{rounds} rounds in turn, of {BYTES:,} bytes that do not compress well")
    return True


def _document(task_id: str, raw: str) -> Document:
    payload = {"findings": [{"rule": "a"}], "tools_used": ["lint"], "raw_outputs": {"lint": raw}}
    return gather(
        [Choice("static", Outcome.COMPLETED, payload)],
        task_id=task_id,
        target="shop.example",
        analysis_type="full",
        app_number=1,
        timestamp=datetime.now(UTC),
        metadata={},
    )
