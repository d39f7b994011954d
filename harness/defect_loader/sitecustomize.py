"""Loads a defect into any Python process that has this directory on its PYTHONPATH and imports the reference.

Only a proof run sets it. The defect is a file; its `apply()` patches the reference's modules, which therefore
need no switch for it. It is applied as soon as the package has been imported, before anything can use it; a
process that never imports the package, like the keeper, does not pay for it.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

_PATCHED = "reference_impl"
_path = os.environ.get("CELERY_CONFORMANCE_DEFECT")


class _Finder:
    """Stands before the other finders until the package has been imported; some only ask where it is."""

    def __init__(self) -> None:
        self._asking = False

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        if fullname != _PATCHED or self._asking:
            return None
        self._asking = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._asking = False
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_patch(module: ModuleType) -> None:
                load(module)
                sys.meta_path.remove(self)
                _apply()

            spec.loader.exec_module = load_and_patch  # type: ignore[method-assign]
        return spec


def _apply() -> None:
    assert _path
    spec = importlib.util.spec_from_file_location("celery_conformance_defect", _path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    module.apply()
    # The proof asks for this witness: a defect that is not in the process proves nothing.
    (Path(os.environ["CELERY_CONFORMANCE_DIRECTORY"]) / "defect" / str(os.getpid())).touch()


if _path:
    sys.meta_path.insert(0, _Finder())
