"""A first `subject.toml` for an application, filled with what can be found out by looking at it."""

from __future__ import annotations

from pathlib import Path

from harness._application import NO_REDIS, look, refuse_unsuitable
from harness._subject import CAPABILITIES, RECORDLESS
from harness._subjects import capabilities_of
from harness._templates import template

DJANGO_RESULTS = "django_celery_results"
DOUBTFUL = ("record", "worker", "ends", "errors")
"""What an application's settings, or where it keeps its results, decide."""
UNSEEN = "its records cannot be looked at; with a [registry] below, add it to the list"
_TEMPLATES = Path(__file__).parent / "subjects"


def first_subject(place: str, python: str, file: Path) -> str:
    """The text of a subject's file. Raises UsageError for an application that no run could be pointed at."""
    found = look(place, python)
    backend = look(place, python, {"CELERY_BROKER_URL": NO_REDIS}).backend.get("kind") or "none that can be loaded"
    own_backend = not backend.startswith("celery.backends.redis.")
    refuse_unsuitable(found, own_backend=own_backend)
    django_results = backend.startswith(f"{DJANGO_RESULTS}.")
    capabilities, lacks = capabilities_of(found)
    if own_backend:
        capabilities -= {"result-ttl"}
    if own_backend and not django_results:
        lacks |= dict.fromkeys(DOUBTFUL, UNSEEN)
        capabilities &= RECORDLESS
    return template(_TEMPLATES / "yours.toml.j2").render(
        place=found.place,
        file=file,
        name=found.place.partition(".")[0].partition(":")[0],
        own_backend=own_backend,
        backend=backend,
        django_results=django_results,
        manage=Path("manage.py").is_file(),
        capabilities=sorted(capabilities),
        doubts={name: lacks[name] for name in DOUBTFUL if name in lacks},
        others={name: means for name, means in CAPABILITIES.items() if name not in capabilities},
    )
