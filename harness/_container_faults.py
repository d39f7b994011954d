"""The faults that take a container: they act on its memory, its clock, its network and its disk.

Each lands, like all others, when there is evidence that it hit.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import psutil
import psycopg
from psycopg import sql

from harness._errors import SetupBroken
from harness._faults import Evidence, Fault, once
from harness._processes import Process, alive
from harness._servers import Server
from harness._view import OWN_NAME

if TYPE_CHECKING:
    from harness._container import ContainerProcess

SMALL_DISK = "/small"
"""Where containers of Postgres have a file system of `SMALL_DISK_MB`."""
SMALL_DISK_MB = 8
_TABLESPACE = "conformance_small"
_CLOCK_STEP_S = 1.0


class Dropped(StrEnum):
    """What becomes of packets: nobody is told, or the sender is."""

    SILENTLY = "drop"
    WITH_RESET = "reject"


def pause(process: Process) -> Fault:
    """Stop everything in a container as its engine does, until healed; nobody inside can tell."""
    target = _in_container(process)

    def landed() -> Evidence | None:
        target.container.reload()
        members = [process.own_pid(member) for member in process.members()]
        return {"paused": members} if target.container.attrs["State"]["Paused"] else None

    return Fault("pause", process.name, target.container.pause, once(landed), target.container.unpause)


def disconnect(process: Process) -> Fault:
    """Take a container off its network; healing gives it back its address there, so that its connections go on."""
    target = _in_container(process)
    left: list[tuple[str, str]] = []

    def inject() -> None:
        target.container.reload()
        ((name, attached),) = target.container.attrs["NetworkSettings"]["Networks"].items()
        left.append((name, attached["IPAddress"]))
        target.container.client.networks.get(name).disconnect(target.container)

    def landed() -> Evidence | None:
        devices = Path(f"/proc/{process.member().pid}/net/dev").read_text().splitlines()[2:]
        names = [line.partition(":")[0].strip() for line in devices]
        return {"interfaces": names} if left and names == ["lo"] else None

    def heal() -> None:
        if left:
            name, address = left.pop()
            target.container.client.networks.get(name).connect(target.container, ipv4_address=address)

    return Fault("disconnect", process.name, inject, once(landed), heal)


def split(process: Process, server: Server, how: Dropped) -> Fault:
    """Let no packet pass between a container and one server, until healed; counted packets are the evidence.

    The kernel's packet filter of the container's own network does it, set by a helper that shares only that network.
    """
    target = _in_container(process)
    helpers: list[Any] = []
    verdict = "DROP" if how is Dropped.SILENTLY else "REJECT --reject-with tcp-reset"
    rules = (
        f"OUTPUT -p tcp -d {server.host} --dport {server.port} -j {verdict}",
        f"INPUT -p tcp -s {server.host} --sport {server.port} -j DROP",
    )

    def inject() -> None:
        container = target.container
        helpers.append(
            container.client.containers.run(
                container.image.id,
                ["sleep", "infinity"],
                network_mode=f"container:{container.id}",
                cap_add=["NET_ADMIN"],
                user="root",
                labels=container.labels,
                init=True,
                detach=True,
            )
        )
        for rule in rules:
            _run(helpers[0], f"iptables -A {rule}")

    def landed() -> Evidence | None:
        if not helpers:
            return None
        listed = _run(helpers[0], "iptables -L OUTPUT -v -n -x").splitlines()[2:]
        packets = sum(int(line.split()[0]) for line in listed)
        return {"how": how, "packets": packets} if packets else None

    def heal() -> None:
        if helpers:
            helper = helpers.pop()
            for rule in rules:
                _run(helper, f"iptables -D {rule}")
            helper.remove(force=True)

    return Fault("split", f"{process.name} from {server.name}", inject, once(landed), heal)


def exhaust_memory(process: Process, begin: Callable[[], None], *, pid: int | None = None) -> Fault:
    """Let `begin` make the child that knows itself by `pid`, or the first process, outgrow the container's memory.

    Landed when the kernel has killed it, with whatever goes with it, and the engine tells that the memory ran out.
    """
    target = _in_container(process)
    doomed: dict[int, psutil.Process] = {}
    since: list[float] = []
    died: list[float] = []

    def inject() -> None:
        doomed.update({process.own_pid(member): member for member in process.fall(process.member(pid))})
        since.append(time.time())
        begin()

    def landed() -> Evidence | None:
        if not doomed or any(map(alive, doomed.values())):
            return None
        died.append(time.monotonic())
        client = target.container.client
        wanted = {"container": target.container.id, "event": "oom"}
        events = list(client.events(since=since[0], until=time.time(), filters=wanted, decode=True))
        return {"killed": list(doomed), "died_at": died[0], "out_of_memory": len(events)} if events else None

    return Fault("exhaust memory", process.name, inject, once(landed))


def own_clock(log: Path) -> dict[str, str]:
    """What gives a container's processes a wall clock of their own; the monotonic one stays the machine's.

    The clock is read from a file beside the log, which `skew_clock` writes.
    """
    clock = _clock_file(log)
    clock.write_text("+0s\n")
    return {
        "LD_PRELOAD": "/usr/$LIB/faketime/libfaketimeMT.so.1",  # the loader knows what $LIB is here
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        # Its mending of timed waits makes Python's threads wait several times longer for each other.
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",
    }


def skew_clock(process: Process, ahead_s: float) -> Fault:
    """Move the wall clock of a worker started with `own_clock`, until healed.

    What a process beside it reads from the same clock is the evidence.
    """
    target = _in_container(process)
    clock = _clock_file(process.log)

    def inject() -> None:
        if not clock.exists():
            raise SetupBroken(f"{process.name} has no clock of its own: start it with own_clock=True")
        clock.write_text(f"{ahead_s:+g}s\n")

    def landed() -> Evidence | None:
        off = float(_run(target.container, "date +%s.%N")) - time.time()
        return {"clock_off_s": off} if abs(off - ahead_s) < _CLOCK_STEP_S else None

    def heal() -> None:
        clock.write_text("+0s\n")

    return Fault("skew clock", process.name, inject, once(landed), heal)


def fill_disk(server: Server, url: str, table: str) -> Fault:
    """Move a table of the database at `url` onto a small disk, and fill that; healing takes it back.

    Landed when the server's own log tells that it had no space left.
    """
    target = _in_container(server.process)
    filler = f"{SMALL_DISK}/filler"
    since: list[float] = []

    def move(tablespace: str) -> None:
        statement = sql.SQL("ALTER TABLE {} SET TABLESPACE {}")
        with psycopg.connect(url, autocommit=True, application_name=OWN_NAME) as connection:
            connection.execute(statement.format(sql.Identifier(table), sql.Identifier(tablespace)))

    def inject() -> None:
        _run(target.container, f"mkdir -p {SMALL_DISK}/data")
        with psycopg.connect(url, autocommit=True, application_name=OWN_NAME) as connection:
            connection.execute(f"CREATE TABLESPACE {_TABLESPACE} LOCATION '{SMALL_DISK}/data'".encode())
        move(_TABLESPACE)
        since.append(time.time())
        _run(target.container, f"cat /dev/zero > {filler} 2>/dev/null || true")

    def landed() -> Evidence | None:
        if not since:
            return None
        said = target.container.logs(since=since[0]).decode(errors="replace").splitlines()
        full = [line for line in said if "No space left on device" in line]
        return {"refused": len(full), "said": full[0]} if full else None

    def heal() -> None:
        if since:
            _run(target.container, f"rm -f {filler}")
            move("pg_default")
            with psycopg.connect(url, autocommit=True, application_name=OWN_NAME) as connection:
                connection.execute(f"DROP TABLESPACE {_TABLESPACE}".encode())

    return Fault("fill disk", f"{table} of {server.name}", inject, once(landed), heal)


def _in_container(process: Process) -> ContainerProcess:
    """Known by its shape: the engine's library is an extra, and is not to be imported for this."""
    if not hasattr(process, "container"):
        raise SetupBroken(f"{process.name} is in no container: mark the scenario with pytest.mark.containers")
    return cast("ContainerProcess", process)


def _clock_file(log: Path) -> Path:
    return log.with_name(f"{log.name}.clock")


def _run(container: Any, command: str) -> str:
    """Run a shell command in a container; what it printed. Raises SetupBroken."""
    code, output = container.exec_run(["sh", "-c", command])
    said: str = output.decode(errors="replace")
    if code:
        raise SetupBroken(f"`{command}` failed in {container.name}: {said.strip()}")
    return said
