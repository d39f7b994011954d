"""Which sockets of a process lead to a server, each by the name under which the kernel knows it.

The kernel's tables are read as that process sees them, so that a container's sockets are found from outside.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

_ESTABLISHED = "01"


def sockets_to(process: psutil.Process, port: int) -> set[str]:
    """The process's open sockets that are connected to this port; where there is no /proc, by their addresses."""
    home = Path(f"/proc/{process.pid}")
    if not home.exists():
        connected = process.net_connections("tcp")
        return {str(one.laddr) for one in connected if one.raddr and one.raddr.port == port}
    there = {f"socket:[{rest[5]}]" for rest in _connected(home, port)}
    held = set()
    for handle in (home / "fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            held.add(str(handle.readlink()))
    return held & there


def unsent_to(process: psutil.Process, port: int) -> int:
    """How many bytes the kernel holds that the process has written to this port and nobody there has taken.

    0 where there is no /proc, or no such connection any more.
    """
    home = Path(f"/proc/{process.pid}")
    return sum(int(rest[0].partition(":")[0], 16) for rest in _connected(home, port)) if home.exists() else 0


def _connected(home: Path, port: int) -> Iterator[list[str]]:
    """What the kernel's tables say of connections to a port, behind their states."""
    for table in ("tcp", "tcp6"):
        for line in (home / "net" / table).read_text().splitlines()[1:]:
            _, _, remote, state, *rest = line.split()
            if state == _ESTABLISHED and int(remote.rpartition(":")[2], 16) == port:
                yield rest
