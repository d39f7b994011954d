"""The fork server: what it starts is what `subprocess` would have started, only sooner."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from harness import SetupBroken
from harness._forkserver import ForkedProcess, Forkserver
from harness._processes import await_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every process is started anew")

TELL = """
import json, os, sys, time
print(json.dumps({
    "arguments": sys.argv[1:],
    "name": __name__,
    "path": sys.path,
    "environment": dict(os.environ),
    "directory": os.getcwd(),
    "hours from UTC": time.localtime(0).tm_gmtoff / 3600,
    "leads its session": os.getsid(0) == os.getpid(),
    "input": sys.stdin.read(),
    "customised": sys.modules["sitecustomize"].told if "sitecustomize" in sys.modules else None,
}))
"""

Start = Callable[..., ForkedProcess]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where programs write."""
    return tmp_path / "log"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forkserver]:
    """A server that has nothing but Celery preloaded."""
    made = Forkserver((), {"PATH": os.environ["PATH"]}, tmp_path_factory.mktemp("server") / "log")
    yield made
    made.close()


@pytest.fixture
def start(server: Forkserver, log: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts a program given as text."""
    started: list[ForkedProcess] = []

    def run(text: str, *arguments: str, pipe: bool = False, **environment: str) -> ForkedProcess:
        script = tmp_path / f"program{len(started)}.py"
        script.write_text(text)
        with log.open("ab") as into:
            process = server.start([str(script), *arguments], environment, tmp_path, None if pipe else into, into)
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait(10)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def test_a_script_finds_what_a_new_interpreter_would_give_it(server: Forkserver, log: Path, tmp_path: Path) -> None:
    """Arguments, path, environment, directory, input and site customisation are those of a fresh start."""
    script = tmp_path / "code" / "tell.py"
    extra = tmp_path / "extra"
    for directory in (script.parent, extra):
        directory.mkdir()
    script.write_text(TELL)
    (extra / "sitecustomize.py").write_text("told = 'by its PYTHONPATH'")
    environment = {"PYTHONPATH": str(extra), "PATH": os.environ["PATH"], "TZ": "Asia/Tokyo"}
    anew = subprocess.run(
        [sys.executable, str(script), "a", "b c"],
        env=environment,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
        check=True,
    )

    with log.open("ab") as into:
        process = server.start([str(script), "a", "b c"], environment, tmp_path, into, into)
    code = process.wait(30)

    assert code == 0
    told, expected = json.loads(log.read_text()), json.loads(anew.stdout)
    assert told.pop("environment").items() >= environment.items()
    assert expected.pop("environment").items() >= environment.items()
    assert told == expected
    assert told["customised"] == "by its PYTHONPATH"
    assert told["hours from UTC"] == 9


def test_a_module_is_run_as_the_main_program(server: Forkserver, log: Path, tmp_path: Path) -> None:
    """`-m` takes the module from the directory, and gives it its arguments."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__main__.py").write_text(TELL)

    with log.open("ab") as into:
        process = server.start(["-m", "shop", "open"], {}, tmp_path, into, into)
    process.wait(30)

    told = json.loads(log.read_text())
    assert (told["arguments"], told["name"], told["path"][0]) == (["open"], "__main__", str(tmp_path))


def test_output_is_kept_apart_from_the_log(server: Forkserver, log: Path, tmp_path: Path) -> None:
    """What a program prints goes into one file, what it complains of into another."""
    (tmp_path / "shop.py").write_text("import sys; print('sold'); print('out of stock', file=sys.stderr)")

    with log.open("ab") as into, (tmp_path / "out").open("ab") as output:
        process = server.start(["-m", "shop"], {}, tmp_path, output, into)
    process.wait(30)

    assert (tmp_path / "out").read_text() == "sold\n"
    assert log.read_text() == "out of stock\n"


def test_libraries_are_loaded_and_the_application_is_not(start: Start, log: Path) -> None:
    """A program finds Celery imported, and none of its own modules, so that a defect can still reach them."""
    start("import sys; print('celery.apps.worker' in sys.modules, [n for n in sys.modules if 'reference' in n])").wait(
        30
    )

    assert log.read_text() == "True []\n"


def test_programs_do_not_share_their_luck(start: Start, log: Path) -> None:
    """Two programs from one server draw different random numbers."""
    for _ in range(2):
        start("import random; print(random.random())").wait(30)

    first, second = log.read_text().split()
    assert first != second


def test_a_program_is_talked_to_through_its_pipes(start: Start) -> None:
    """With pipes it reads what is written to it, and its answers come back."""
    process = start("import sys; print(sys.stdin.readline().upper(), end='', flush=True)", pipe=True)
    assert process.stdin is not None
    assert process.stdout is not None

    process.stdin.write(b"hello\n")
    process.stdin.flush()

    assert process.stdout.readline() == b"HELLO\n"
    assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("", 0),
        ("raise SystemExit(3)", 3),
        ("import os; os._exit(4)", 4),
        ("raise ValueError('no such luck')", 1),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    ],
)
def test_the_end_of_a_program_is_told_as_subprocess_would(start: Start, program: str, code: int) -> None:
    """The exit code, or the negative number of the signal."""
    process = start(program)

    assert process.wait(30) == code
    assert process.poll() == code


def test_a_program_that_fails_leaves_its_traceback(start: Start, log: Path) -> None:
    """What it raised goes to its log, as from any interpreter."""
    start("raise ValueError('no such luck')").wait(30)

    assert log.read_text().rstrip().endswith("ValueError: no such luck")


def test_waiting_has_a_limit(start: Start) -> None:
    """A program that goes on is still running after the wait."""
    process = start("import signal; signal.pause()")

    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.05)
    assert process.poll() is None


def test_a_program_that_has_ended_holds_no_descriptor(start: Start) -> None:
    """However many processes a long run remembers, the ended ones cost it none of its file descriptors."""
    descriptors = Path("/proc/self/fd")
    start("").wait(30)
    before = len(list(descriptors.iterdir()))

    remembered = [start("") for _ in range(3)]
    while_they_ran = len(list(descriptors.iterdir()))
    codes = [process.wait(30) for process in remembered]

    assert codes == [0, 0, 0]
    assert while_they_ran == before + 3
    assert len(list(descriptors.iterdir())) == before


def test_a_program_is_awaited_beyond_a_thousand_descriptors(start: Start) -> None:
    """A harness that holds many files open can still tell whether its processes have ended."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(2048, hard), hard))
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]

    try:
        code = start("").wait(30)
    finally:
        for descriptor in opened:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert code == 0


def test_the_ends_of_several_programs_are_told_apart(start: Start) -> None:
    """Each program has its own end, in whatever order they are asked for."""
    codes = [5, 6, 7]
    processes = [start(f"raise SystemExit({code})") for code in codes]

    assert [process.wait(30) for process in reversed(processes)] == list(reversed(codes))


def test_a_signal_does_not_reach_whoever_has_the_number_next(start: Start) -> None:
    """Signalling what has ended is no error and touches nobody."""
    process = start("")
    process.wait(30)

    process.send_signal(signal.SIGTERM)

    assert process.poll() == 0


def test_a_server_that_cannot_start_is_a_broken_set_up(tmp_path: Path) -> None:
    """When the server ends, the reason is told with the last lines of its log."""
    log = tmp_path / "log"
    (tmp_path / "celery").mkdir()
    (tmp_path / "celery" / "__init__.py").write_text("raise SystemExit('no such luck')")
    server = Forkserver((), {"PYTHONPATH": str(tmp_path)}, log)

    with log.open("ab") as into, pytest.raises(SetupBroken) as caught:
        server.start(["-m", "shop"], {}, tmp_path, into, into)
    server.close()

    assert "the fork server failed" in str(caught.value)
    assert "no such luck" in str(caught.value)


def test_a_module_that_is_not_there_is_not_preloaded(tmp_path: Path, log: Path) -> None:
    """A subject may name what is not installed everywhere; the log says so, and programs start."""
    server = Forkserver(("no_such_module",), {}, log)

    with log.open("ab") as into:
        code = server.start(["-m", "this"], {}, tmp_path, into, into).wait(30)
    server.close()

    assert code == 0
    assert "not preloaded: No module named 'no_such_module'" in log.read_text()


def test_temporary_files_go_where_the_program_is_told(tmp_path: Path, log: Path) -> None:
    """What a preloaded library made the fork server remember of its own place for them is forgotten."""
    (tmp_path / "library.py").write_text("import tempfile; tempfile.gettempdir()")
    (tmp_path / "shop.py").write_text("import tempfile; print(tempfile.gettempdir())")
    (tmp_path / "own").mkdir()
    server = Forkserver(("library",), {"PYTHONPATH": str(tmp_path)}, log)

    with log.open("ab") as into:
        server.start(["-m", "shop"], {"TMPDIR": str(tmp_path / "own")}, tmp_path, into, into).wait(30)
    server.close()

    assert log.read_text() == f"{tmp_path / 'own'}\n"


def test_the_server_ends_with_its_owner(tmp_path: Path) -> None:
    """When the process that owns it is killed, the server ends by itself."""
    program = f"""
import pathlib, signal
from harness._forkserver import Forkserver
server = Forkserver((), {{}}, pathlib.Path({str(tmp_path / "log")!r}))
server.launch()
print(server._server.pid, flush=True)
signal.pause()
"""
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    server = psutil.Process(int(owner.stdout.readline()))

    owner.kill()
    owner.wait()
    owner.stdout.close()

    def gone() -> bool:
        with suppress(psutil.NoSuchProcess):
            return server.status() == psutil.STATUS_ZOMBIE
        return True

    await_until("the end of the server", gone, 20)
