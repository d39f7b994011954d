"""Starts Python programs by forking from a process that has imported their libraries already.

Importing Celery and a database library costs a worker most of its start. This process pays once, then forks for
each program: the child takes the program's environment, directory, path and streams as its own, loads the site
customisation that its PYTHONPATH names, and runs the program as `python -m` or `python SCRIPT` would. Modules of
the application are never imported here.

It talks over a socket of packets, given by number: a request carries the program and three descriptors and is
answered with the process id and a descriptor of the process; the end of a program is told as it happens. It ends
when the other side does.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import selectors
import site
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PACKET_BYTES = 128 * 1024


def serve(control: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Fork for each request. Returns in a child only, with what it shall become."""
    selector = selectors.DefaultSelector()
    selector.register(control, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.data is not None:
                selector.unregister(key.fd)
                os.close(key.fd)
                _, status = os.waitpid(key.data, 0)
                _tell(control, {"ended": key.data, "code": os.waitstatus_to_exitcode(status)})
                continue
            packet, descriptors, _, _ = socket.recv_fds(control, PACKET_BYTES, 3)
            if not packet:
                os._exit(0)
            pid = os.fork()
            if pid == 0:
                for inherited in list(selector.get_map().values()):
                    os.close(inherited.fd)
                selector.close()
                control.detach()
                return json.loads(packet), descriptors
            for descriptor in descriptors:
                os.close(descriptor)
            handle = os.pidfd_open(pid)
            selector.register(handle, selectors.EVENT_READ, pid)
            _tell(control, {"started": pid}, handle)


def become(program: dict[str, Any], descriptors: list[int], base_path: list[str]) -> None:
    """Run the program in this process."""
    os.setsid()
    for target, descriptor in enumerate(descriptors):
        os.dup2(descriptor, target)
        os.close(descriptor)
    os.chdir(program["directory"])
    os.environ.clear()
    os.environ.update(program["environment"])
    time.tzset()
    tempfile.tempdir = None  # what the standard library remembers of the fork server's environment
    first, *arguments = program["arguments"]
    python_path = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    own_path = program["directory"] if first in {"-m", "-c"} else str(Path(first).parent)
    sys.path[:] = [own_path, *python_path, *base_path]
    importlib.invalidate_caches()
    sys.modules.pop("sitecustomize", None)
    site.execsitecustomize()  # type: ignore[attr-defined]
    gc.enable()
    if first == "-m":
        sys.argv = arguments
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.argv = ["-c", *arguments[1:]]
        exec(compile(arguments[0], "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102 - as Python itself does
    else:
        sys.argv = [first, *arguments]
        runpy.run_path(first, run_name="__main__")


def _tell(control: socket.socket, message: dict[str, int], *descriptors: int) -> None:
    try:
        socket.send_fds(control, [json.dumps(message).encode()], descriptors)
    except OSError:
        os._exit(0)


def main() -> None:
    """Import what is named on the command line, as far as it exists, and serve."""
    control = socket.socket(fileno=int(sys.argv[1]))
    base_path = sys.path[1:]
    gc.disable()
    for name in sys.argv[2:]:
        try:
            importlib.import_module(name)
        except ImportError as error:
            sys.stderr.write(f"not preloaded: {error}\n")
    gc.freeze()
    program, descriptors = serve(control)
    become(program, descriptors, base_path)


if __name__ == "__main__":
    main()
