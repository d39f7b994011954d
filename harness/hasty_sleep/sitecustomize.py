"""Has a program's pauses pass faster than it says, so that a wait of minutes can be watched in seconds.

Loaded into any Python process that has this directory on its PYTHONPATH. `time.sleep` sleeps for a part of what it is
asked for, and `time.monotonic` and `time.time` go on by what was left out: all else takes the time that it takes.
Each pause is journalled with its seconds, and with those that were left out.
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

_HERE = Path(__file__).parent
_RATE = float(os.environ["CELERY_CONFORMANCE_HASTE"])
_LIFE = os.environ["CELERY_CONFORMANCE_LIFE"]
_JOURNAL = Path(os.environ["CELERY_CONFORMANCE_DIRECTORY"]) / "journal" / f"{_LIFE}.{os.getpid()}.jsonl"

_sleep, _monotonic, _time = time.sleep, time.monotonic, time.time
_left_out_s = 0.0


def _hasty_sleep(seconds: float, /) -> None:
    global _left_out_s  # noqa: PLW0603 - a process has one clock
    _sleep(seconds / _RATE)
    left_out_s = seconds - seconds / _RATE
    _left_out_s += left_out_s
    said = {"f": "pause", "task": None, "execution": None, "pid": os.getpid(), "life": _LIFE, "node": _LIFE}
    with _JOURNAL.open("a") as file:
        file.write(
            json.dumps({**said, "at": _monotonic(), "value": {"seconds": seconds, "left_out_s": left_out_s}}) + "\n"
        )


time.sleep = _hasty_sleep
time.monotonic = lambda: _monotonic() + _left_out_s
time.time = lambda: _time() + _left_out_s

# A process has one such module: whoever comes after this one on the path, as in a proof run, is not left out.
if _others := PathFinder.find_spec("sitecustomize", [path for path in sys.path if Path(path) != _HERE]):
    assert _others.loader is not None
    _others.loader.exec_module(module_from_spec(_others))
