"""Loads a defect into any Python process that has this directory on its PYTHONPATH, before its program starts.

Only a proof run sets it. The defect is a file; its `apply()` patches the subject's modules, which therefore
need no switch for it.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

_path = os.environ.get("CELERY_CONFORMANCE_DEFECT")
if _path:
    _spec = importlib.util.spec_from_file_location("celery_conformance_defect", _path)
    assert _spec is not None
    assert _spec.loader is not None
    _module = importlib.util.module_from_spec(_spec)
    sys.modules[_spec.name] = _module
    _spec.loader.exec_module(_module)
    _module.apply()
    # Python carries on without a site customisation that fails; the proof asks for this witness.
    (Path(os.environ["CELERY_CONFORMANCE_DIRECTORY"]) / "defect" / str(os.getpid())).touch()
