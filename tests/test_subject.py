"""Subjects: the built-in ones load, and whatever is wrong with another is told by name."""

from __future__ import annotations

import re
import sys
from contextlib import closing
from pathlib import Path

import pytest

from harness import CAPABILITIES, Place, Timing, UsageError
from harness._api import status_fields
from harness._subjects import load_subject

PLACE = Place(
    "postgresql://postgres@127.0.0.1:1/db", "redis://127.0.0.1:2/3", "amqp://127.0.0.1:4/5", Timing(), Path("state")
)

MINIMAL = """
name = "mine"
app = "shop.celery:app"
capabilities = ["record"]
result_backend = true
"""

API = f"""{MINIMAL}
[commands]
api = ["serve", "{{api_port}}"]
[api.paths]
health = "/h"
status = "/t"
result = "/t/r"
"""

CLASS = """
class Whole:
    name = "whole"
    app = "shop:app"
    capabilities = frozenset({"record"})
    lacks = {}
    limits = {}
    preload = ()
    tables = frozenset()
    sessions = None
    metrics = {}
    api = None
    agents = None
    analysis = None
    expiry_file = None

    def environment(self, place):
        return {}

    def command(self, name, place, **words):
        return None

    def open_view(self, place):
        raise NotImplementedError


class Half:
    name = "half"
    app = "shop:app"


class Raises:
    def __init__(self):
        raise RuntimeError("no such luck")
"""


def write(tmp_path: Path, text: str) -> str:
    """The path of a subject file with this text."""
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return str(path)


def refusal(given: str) -> str:
    """What a user is told of a subject that cannot be used."""
    with pytest.raises(UsageError) as caught:
        load_subject(given)
    return str(caught.value)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an importable module with subject classes."""
    (tmp_path / "subject_classes.py").write_text(CLASS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "subject_classes", raising=False)
    return "subject_classes"


@pytest.mark.parametrize("name", ["reference", "bare-celery"])
def test_a_built_in_subject_loads_by_its_name(name: str) -> None:
    """Each built-in subject loads, and accounts for every capability: it has it, or says why not."""
    subject = load_subject(name)

    assert subject.name == name
    assert subject.capabilities.isdisjoint(subject.lacks)
    assert subject.capabilities | subject.lacks.keys() == CAPABILITIES.keys()


def test_the_reference_is_told_its_place() -> None:
    """The reference's processes are told the servers and the clockwork by environment variables."""
    environment = load_subject("reference").environment(PLACE)

    assert environment["CELERY_BROKER_URL"] == PLACE.broker_url
    assert environment["CELERY_RESULT_BACKEND"] == PLACE.redis_url
    assert environment["CELERY_TRACKING_DATABASE_URL"] == PLACE.postgres_url
    assert environment["CELERY_TRACKING_LEASE_S"] == str(Timing().lease_s)


def test_a_command_has_its_words_filled_in() -> None:
    """A command's placeholders become this interpreter, the application and the caller's own words."""
    subject = load_subject("reference")

    assert subject.command("prepare", PLACE) == [sys.executable, "-m", "reference_impl", "migrate"]
    assert "t-1" in (subject.command("get", PLACE, task_id="t-1") or [])
    assert subject.app in (subject.command("sweep", PLACE) or [])


def test_a_subject_without_a_command_says_none() -> None:
    """Plain Celery has no sweep command."""
    assert load_subject("bare-celery").command("sweep", PLACE) is None


def test_a_file_of_the_users_own_loads(tmp_path: Path) -> None:
    """A path that ends in .toml is read as a subject."""
    subject = load_subject(write(tmp_path, MINIMAL))

    assert (subject.name, subject.app) == ("mine", "shop.celery:app")
    assert subject.tables == {}


@pytest.mark.parametrize(
    ("given", "nearest"), [("refrence", "reference"), ("bare_celery", "bare-celery"), ("celery", "bare-celery")]
)
def test_an_unknown_subject_suggests_the_nearest(given: str, nearest: str) -> None:
    """A name that is no subject is refused with the nearest one and the other ways to name a subject."""
    message = refusal(given)

    assert f"unknown subject {given!r}: did you mean '{nearest}'?" in message
    assert "or package.module:app, or a path ending in .toml" in message


def test_a_subject_without_records_can_be_judged_by_its_results(tmp_path: Path) -> None:
    """Where the harness cannot look, no record is seen, and none is needed for what `.get()` gives."""
    path = tmp_path / "mine.toml"
    path.write_text(MINIMAL.replace('"record"', '"results"').replace("result_backend", "own_result_backend"))

    view = load_subject(str(path)).open_view(PLACE)

    with closing(view):
        assert (view.record("t"), view.audit("t")) == (None, [])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name = ", "not valid TOML"),
        (MINIMAL.replace('name = "mine"', ""), "name is missing"),
        (MINIMAL.replace('app = "shop.celery:app"', ""), "app is missing"),
        (MINIMAL.replace('capabilities = ["record"]', ""), "capabilities is missing"),
        (MINIMAL.replace("result_backend = true", ""), "a [registry] is needed, or result_backend = true"),
        (MINIMAL.replace('"record"', '"recrod"'), "unknown capability 'recrod': did you mean 'record'?"),
        (MINIMAL.replace('"record"', "3"), "unknown capability '3'"),
        (MINIMAL.replace('["record"]', '"record"'), "capabilities: expected list, got 'record'"),
        (
            MINIMAL.replace('["record"]', '["metrics"]'),
            "[metrics.names]: the capability metrics needs checks,",
        ),
        (MINIMAL + '[metrics.names]\nswept = "a_total"', "[metrics.names]: unknown metric 'swept': did you mean"),
        (MINIMAL + '[metrics.enviroment]\nA = ""', "metrics: unknown key 'enviroment': did you mean 'environment'?"),
        (MINIMAL + "[metrics]\nnames = []", "metrics.names: expected dict, got []"),
        (MINIMAL.replace('["record"]', '["api"]'), "the capability api needs a table [api.paths]"),
        (MINIMAL + '[api.paths]\nhealth = "/"', "[api] needs commands.api"),
        (MINIMAL.replace('["record"]', '["agents"]'), "the capability agents needs a table [agents]"),
        (MINIMAL + '[agents]\nrun = "a:b"', "[agents] lacks memory, progress, table"),
        (
            MINIMAL + '[agents]\nrun = "a:b"\nmemory = "a:c"\ntable = "t"\nprogress = "p"\n'
            '[agents.columns]\nrunning = "r"',
            "[agents.columns]: unknown column 'running': did you mean 'is_running'?",
        ),
        (API.replace("status =", "state ="), "[api.paths]: unknown path 'state': did you mean 'status'?"),
        (API.replace('status = "/t"\n', ""), "[api.paths] lacks status"),
        (API + '[api.fields]\nworkers = "w"', "[api.fields]: unknown field 'workers': did you mean 'worker'?"),
        (API + '[api.headers]\nsized = "S"', "[api.headers]: unknown header 'sized': did you mean 'size'?"),
        (API + "[api.environment]\nA = '{api_tken}'", "unknown placeholder 'api_tken': did you mean 'api_token'?"),
        (MINIMAL + "[expiry]\nfil = ''", "expiry: unknown key 'fil': did you mean 'file'?"),
        (MINIMAL + "[expiry]\nfile = 3", "expiry.file: expected str, got 3"),
        (MINIMAL + '[metrics.environment]\nA = "{metrics_prt}"', "unknown placeholder 'metrics_prt': did you mean"),
        (MINIMAL + '[environment]\nA = "{metrics_port}"', "unknown placeholder 'metrics_port'"),
        (MINIMAL + "capabilites = []", "unknown key 'capabilites': did you mean 'capabilities'?"),
        (
            MINIMAL + '[environment]\nURL = "{postgres_ulr}"',
            "environment.URL: unknown placeholder 'postgres_ulr': did you mean 'postgres_url'?",
        ),
        (
            MINIMAL + '[commands]\nsweep = ["{pyton}"]',
            "commands.sweep: unknown placeholder 'pyton': did you mean 'python'",
        ),
        (MINIMAL + '[environment]\nURL = "{"', "environment.URL: '{' is no text with placeholders"),
        (MINIMAL + "[environment]\nPORT = 5", "environment.PORT: 5 is no text with placeholders"),
        (MINIMAL + '[environment]\nURL = "{}"', "environment.URL: '{}' is no text with placeholders"),
        (MINIMAL + '[commands]\nsweep = "python -m shop"', "commands.sweep"),
        (MINIMAL + '[registry]\ntable = "tasks"', "[registry] needs a table, and [registry.columns]"),
        (MINIMAL + '[audit.columns]\ntask_id = "id"', "[audit] needs a table, and [audit.columns]"),
        (MINIMAL + '[lacks]\nsweeep = "no"', "sweeep"),
    ],
)
def test_a_broken_subject_file_is_refused_with_its_mistake(tmp_path: Path, text: str, says: str) -> None:
    """Each mistake in a subject's file is told with the file's path, what was expected and what arrived."""
    path = write(tmp_path, text)

    message = refusal(path)

    assert says in message
    assert re.match(rf"subject {re.escape(path)}(, line \d+)?: ", message)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (MINIMAL + "capabilites = []", 6),
        (MINIMAL.replace('"record"', '"recrod"'), 4),
        (MINIMAL + '\n[environment]\nA = "1"\nURL = "{postgres_ulr}"', 9),
        (API.replace("status =", "state ="), 11),
        (MINIMAL + '[api.paths]\nhealth = "/"', 6),
        (MINIMAL + 'metrics.names."swept" = "a_total"', 6),
        (MINIMAL.replace('name = "mine"', ""), None),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, text: str, line: int | None) -> None:
    """The line of the key that is wrong, or of the table that lacks one; none where nothing stands that could be."""
    told = re.match(r"subject \S+?(?:, line (\d+))?: ", refusal(write(tmp_path, text)))

    assert told is not None
    assert told[1] == (str(line) if line else None)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    """A subject file that cannot be read is refused by its path and the system's reason."""
    (tmp_path / "directory.toml").mkdir()

    assert "none.toml: cannot be read: No such file" in refusal(str(tmp_path / "none.toml"))
    assert "directory.toml: cannot be read: Is a directory" in refusal(str(tmp_path / "directory.toml"))


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    """A subject file that is not UTF-8 is refused like any other that is no TOML."""
    path = tmp_path / "latin.toml"
    path.write_bytes(MINIMAL.replace("mine", "für").encode("latin-1"))

    assert "not valid TOML" in refusal(str(path))


def test_a_class_satisfies_the_protocol_by_shape(module: str) -> None:
    """A class that has all a subject needs is one, without inheriting anything."""
    assert load_subject(f"{module}:Whole").name == "whole"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "subject_classes:Half",
            "it lacks capabilities, lacks, limits, preload, tables, sessions, metrics, expiry_file, api, agents, ana",
        ),
        ("subject_classes:Raises", "cannot be loaded: RuntimeError: no such luck"),
        ("subject_classes:Absent", "cannot be loaded: AttributeError"),
        ("no_such_module:Whole", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("subject_classes:", "cannot be loaded"),
        (":Whole", "cannot be loaded"),
    ],
)
def test_a_class_that_is_no_subject_is_refused(module: str, name: str, says: str) -> None:
    """A class that does not import, or lacks what a subject needs, is refused with what is wrong."""
    message = refusal(name)

    assert message.startswith(f"subject {name!r}: ")
    assert says in message


def test_a_status_of_other_names_is_told_in_the_names_of_the_harness(tmp_path: Path) -> None:
    """What a subject's file says of its fields, and of those of a progress, is what its answers are read by."""
    names = '[api.fields]\ntask_id = "id"\nstatus = "state"\n[api.progress_fields]\ncurrent = "done"\n'
    shape = load_subject(write(tmp_path, API + names)).api
    assert shape is not None

    told = status_fields({"id": "t", "state": "STARTED", "progress": {"done": 1, "total": 4}}, shape)

    assert told == {"task_id": "t", "status": "STARTED", "progress": {"current": 1, "total": 4}}
    assert status_fields({"task_id": "t", "status": "STARTED"}, shape) is None
