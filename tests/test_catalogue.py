"""The catalogue: every mistake in it is named with its entry, and promises are chosen by id, system, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness._catalogue import SEVERITIES, Catalogue, load_catalogue
from harness._errors import UsageError

ENTRY = """
[[promise]]
id = "{id}"
title = "A dead worker's task is closed"
severity = "{severity}"
statement = "What dies is closed."
"""


def entry(promise_id: str = "STALE-01", severity: str = "high", more: str = "") -> str:
    """One promise in TOML."""
    return ENTRY.format(id=promise_id, severity=severity) + more


def load(tmp_path: Path, *parts: str) -> Catalogue:
    """The catalogue of a file with this text."""
    path = tmp_path / "catalogue.toml"
    path.write_text("\n".join(parts))
    return load_catalogue(path)


def refusal(tmp_path: Path, *parts: str) -> str:
    """What a user is told of a catalogue that cannot be used."""
    with pytest.raises(UsageError) as caught:
        load(tmp_path, *parts)
    message = str(caught.value)
    assert str(tmp_path / "catalogue.toml") in message
    return message


def three(tmp_path: Path) -> Catalogue:
    """Two promises of one system and one of another."""
    return load(tmp_path, entry("STALE-01"), entry("STALE-02"), entry("ARG-01"))


def test_a_promise_is_read_with_all_that_belongs_to_it(tmp_path: Path) -> None:
    """An entry's capabilities, scenarios, markers, defects and exceptions are read."""
    more = """
capabilities = ["record", "worker"]
scenarios = ["stale/test_kill.py"]
markers = ["heartbeat"]
not_applicable = { bare-celery = "it has no sweep" }
[[promise.defects]]
id = "forgets_lease"
check = "dead-tasks-closed"
violation = "false-alive"
"""

    catalogue = load(tmp_path, 'canaries = ["test_ok"]', entry(more=more))

    promise = catalogue.promises["STALE-01"]
    assert promise.capabilities == {"record", "worker"}
    assert promise.scenarios == ("stale/test_kill.py",)
    assert promise.markers == ("heartbeat",)
    assert promise.not_applicable == {"bare-celery": "it has no sweep"}
    assert promise.covered
    assert catalogue.canaries == ("test_ok",)
    assert catalogue.defect("forgets_lease").promise == "STALE-01"
    assert catalogue.defect_file("forgets_lease") == (tmp_path / "defects" / "forgets_lease.py").resolve()


def test_a_promise_without_scenarios_is_uncovered(tmp_path: Path) -> None:
    """A promise that no scenario judges says so."""
    assert not load(tmp_path, entry()).promises["STALE-01"].covered


@pytest.mark.parametrize("severity", SEVERITIES)
def test_each_severity_is_accepted(tmp_path: Path, severity: str) -> None:
    """The four severities are known."""
    assert load(tmp_path, entry(severity=severity)).promises["STALE-01"].severity == severity


def test_an_unknown_severity_is_refused_with_the_nearest(tmp_path: Path) -> None:
    """A severity that is none of the four is named, with the entry and the nearest one."""
    message = refusal(tmp_path, entry(severity="critcal"))

    assert "STALE-01: unknown severity 'critcal': did you mean 'critical'?" in message


def test_an_unknown_key_is_refused_with_the_nearest(tmp_path: Path) -> None:
    """A misspelt key is named, with the entry and the key that was meant."""
    message = refusal(tmp_path, entry(more='scenaros = ["x"]'))

    assert "STALE-01: unknown key 'scenaros': did you mean 'scenarios'?" in message


@pytest.mark.parametrize("key", ["id", "title", "severity", "statement"])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    """An entry without one of its four words is refused by that key."""
    lines = [line for line in entry().splitlines() if not line.startswith(key)]

    assert f"{key} is missing" in refusal(tmp_path, *lines)


def test_a_promise_that_stands_twice_is_refused(tmp_path: Path) -> None:
    """Two entries of one id are refused by that id."""
    assert "STALE-01 stands twice" in refusal(tmp_path, entry(), entry())


def test_a_defect_that_stands_twice_is_refused(tmp_path: Path) -> None:
    """Two defects of one id would shadow each other; they are refused by that id."""
    defect = '[[promise.defects]]\nid = "forgets_lease"\ncheck = "executed"\nviolation = "lost"\n'

    assert "forgets_lease" in refusal(tmp_path, entry("STALE-01", more=defect), entry("STALE-02", more=defect))


@pytest.mark.parametrize(
    "defect",
    ['id = "a"\ncheck = "executed"\n', 'id = "a"\ncheck = "executed"\nviolation = "lost"\nreach = "no"\n'],
    ids=["a key is missing", "a key is unknown"],
)
def test_a_defect_with_wrong_keys_is_refused(tmp_path: Path, defect: str) -> None:
    """A defect without its violation, or with a key nobody knows, is refused with its promise."""
    assert "STALE-01" in refusal(tmp_path, entry(more=f"[[promise.defects]]\n{defect}"))


def test_broken_toml_is_named_with_its_place(tmp_path: Path) -> None:
    """A catalogue that is no TOML is refused with the line of the mistake."""
    assert "line 1" in refusal(tmp_path, "[[promise]")


def test_another_encoding_is_refused(tmp_path: Path) -> None:
    """A catalogue that is not UTF-8 is refused like any other that is no TOML."""
    path = tmp_path / "catalogue.toml"
    path.write_bytes("# für alle".encode("latin-1"))

    with pytest.raises(UsageError, match="catalogue"):
        load_catalogue(path)


def test_a_missing_catalogue_is_named(tmp_path: Path) -> None:
    """A catalogue that does not exist is refused by its path."""
    with pytest.raises(UsageError, match=r"none\.toml"):
        load_catalogue(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (["STALE-02"], ["STALE-02"]),
        (["stale-02"], ["STALE-02"]),
        (["STALE"], ["STALE-01", "STALE-02"]),
        (["arg"], ["ARG-01"]),
        (["ARG-01", "STALE"], ["ARG-01", "STALE-01", "STALE-02"]),
        (["STALE", "STALE-01"], ["STALE-01", "STALE-02"]),
        ([], []),
    ],
    ids=str,
)
def test_promises_are_chosen_by_id_or_system(tmp_path: Path, wanted: list[str], ids: list[str]) -> None:
    """An id chooses one promise, a system all of its own, in any case and each once."""
    assert [promise.id for promise in three(tmp_path).select(wanted)] == ids


@pytest.mark.parametrize(
    ("wanted", "nearest"),
    [("STALE-20", "STALE-02"), ("STALE-2", "STALE-02"), ("STAEL", "STALE"), ("arg-1", "ARG-01"), ("STAL", "STALE")],
)
def test_an_unknown_promise_suggests_the_nearest(tmp_path: Path, wanted: str, nearest: str) -> None:
    """A promise or system that does not exist is refused with the nearest one that does."""
    with pytest.raises(UsageError) as caught:
        three(tmp_path).select([wanted])

    assert f"unknown promise {wanted!r}: did you mean '{nearest}'?" in str(caught.value)


def test_an_unknown_defect_suggests_the_nearest(tmp_path: Path) -> None:
    """A defect that does not exist is refused with the nearest one that does."""
    defect = '[[promise.defects]]\nid = "forgets_lease"\ncheck = "executed"\nviolation = "lost"\n'

    with pytest.raises(UsageError, match="unknown defect 'forget_leases': did you mean 'forgets_lease'"):
        load(tmp_path, entry(more=defect)).defect("forget_leases")


def test_a_name_like_nothing_lists_what_is_known(tmp_path: Path) -> None:
    """Where nothing is near, the refusal lists what there is."""
    with pytest.raises(UsageError) as caught:
        three(tmp_path).select(["%%%"])

    assert "did you mean" not in str(caught.value)
    assert "known: ARG, ARG-01, STALE, STALE-01, STALE-02" in str(caught.value)
