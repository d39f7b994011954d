"""How hard the machine was pressed is counted from a moment on, where the kernel counts at all."""

from __future__ import annotations

from pathlib import Path

from harness._pressure import Pressure

COUNTED = "some avg10=49.31 avg60=43.92 avg300=34.90 total={}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"


def test_what_was_waited_since_is_told(tmp_path: Path) -> None:
    """In seconds; what had been counted before is not."""
    counted = tmp_path / "cpu"
    counted.write_text(COUNTED.format(5_000_000))
    pressure = Pressure(counted)
    counted.write_text(COUNTED.format(6_250_000))

    told = pressure.value()

    assert told is not None
    assert told["pressed_s"] == 1.25
    assert 0 <= told["seconds"] < 60


def test_a_kernel_that_does_not_count_tells_nothing(tmp_path: Path) -> None:
    """There is no such file, or something else in it."""
    (tmp_path / "cpu").write_text("nothing of the kind\n")

    assert Pressure(tmp_path / "cpu").value() is None
    assert Pressure(tmp_path / "none").value() is None
