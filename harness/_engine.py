"""The container engine: found, asked, and cleaned of what dead runs left.

Everything that a run makes carries two labels: the host's name and the run's scratch directory. A container,
network or volume whose labels name this host and a directory that is gone belongs to a dead run; nothing without
the labels is ever touched.
"""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import psutil
from docker.errors import APIError, DockerException, NotFound

from harness._errors import SetupBroken

HOST_LABEL = "celery-conformance.host"
SCRATCH_LABEL = "celery-conformance.scratch"
_TIMEOUT_S = 60
_LOCAL = "unix:///var/run/docker.sock"


def open_engine() -> docker.DockerClient:
    """A client of the engine that DOCKER_HOST names, or the local one. Raises SetupBroken with what to do."""
    try:
        _knock()
        client = docker.from_env(timeout=_TIMEOUT_S)
        client.ping()
    except (DockerException, OSError) as error:
        raise SetupBroken(
            f"no container engine answers ({_first_line(error)}); start one (Debian: apt install docker.io, then "
            "`dockerd` as root, or `systemctl start docker`), or use --runtime=embedded, which needs none"
        ) from error
    if platform.system() != "Linux":
        client.close()
        raise SetupBroken(
            "the runtime `containers` needs an engine on this very Linux machine: its faults signal the processes of "
            "containers and its proxies listen on their network; use --runtime=embedded"
        )
    return client


def _knock() -> None:
    """Raises OSError where nobody listens at a local socket: docker's own client would leave it open."""
    kind, _, path = os.environ.get("DOCKER_HOST", _LOCAL).partition("://")
    if kind == "unix":
        with socket.socket(socket.AF_UNIX) as knocking:
            knocking.settimeout(_TIMEOUT_S)
            knocking.connect(path)


def labels(scratch: Path) -> dict[str, str]:
    """What a run marks its own with."""
    return {HOST_LABEL: socket.gethostname(), SCRATCH_LABEL: str(scratch)}


def remove_labelled(client: docker.DockerClient, scratch: Path) -> None:
    """Remove every container, network and volume of one run. Raises SetupBroken when the engine refuses."""
    marks = [f"{name}={value}" for name, value in labels(scratch).items()]
    stuck = _remove(client, marks, lambda _: True)
    if stuck:
        raise SetupBroken(f"the engine does not remove {'; '.join(stuck)}")


def remove_dead(client: docker.DockerClient) -> list[str]:
    """Remove what runs left whose scratch directory is gone; what the engine refuses to remove, and why."""

    def is_dead(attributes: dict[str, Any]) -> bool:
        named = labels_of(attributes).get(SCRATCH_LABEL, "")
        return bool(named) and not Path(named).exists()

    return _remove(client, [f"{HOST_LABEL}={socket.gethostname()}"], is_dead)


def _remove(client: docker.DockerClient, marks: list[str], doomed: Callable[[dict[str, Any]], bool]) -> list[str]:
    wanted = {"label": marks}
    found = [
        *((it, {"force": True, "v": True}) for it in client.containers.list(True, filters=wanted, ignore_removed=True)),
        *((it, {}) for it in client.networks.list(filters=wanted)),
        *((it, {"force": True}) for it in client.volumes.list(filters=wanted)),
    ]
    stuck = []
    for thing, how in found:
        if doomed(thing.attrs):
            try:
                thing.remove(**how)
            except NotFound:
                continue
            except APIError as error:
                stuck.append(f"{thing.name} ({error.explanation})")
    return stuck


def labels_of(attributes: dict[str, Any]) -> dict[str, str]:
    """A container keeps them elsewhere than networks and volumes do."""
    return attributes.get("Config", attributes).get("Labels") or {}


def number_inside(process: psutil.Process) -> int:
    """The process id by which a process knows itself: the innermost of its namespaces."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("NSpid:"):
            return int(line.split()[-1])
    return process.pid


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
