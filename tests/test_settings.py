"""Settings: where they come from, which source wins, and what a user is told when they cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from reference_impl.settings import ConfigurationError, Policy, Settings, Unreadable, load_settings

URL = "postgresql://ann:hush-hush@localhost/registry"


@pytest.fixture(autouse=True)
def somewhere_empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A working directory without a settings file, and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("CONFIG", *(field.upper() for field in Settings.model_fields)):
        monkeypatch.delenv(f"CELERY_TRACKING_{name}", raising=False)
    return tmp_path


def write(path: Path, text: str) -> Path:
    """A settings file with this text."""
    path.write_text(text)
    return path


def refusal(**overrides: Any) -> str:
    """What a user is told of settings that cannot be used."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings(**{"database_url": URL} | overrides)
    return str(caught.value)


def test_the_database_is_all_that_must_be_given() -> None:
    """With a database URL alone, every other setting has a default that fits the others."""
    settings = load_settings(database_url=URL)

    assert settings.database_url.get_secret_value() == URL
    assert settings.policy is Policy.AUTO
    assert settings.unreadable_revocations is Unreadable.HOLD
    assert settings.lease_s >= 3 * settings.heartbeat_interval_s


def test_a_missing_database_is_named() -> None:
    """Without a database URL the refusal names the setting and where it can be set."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings()

    assert "database_url: Field required" in str(caught.value)
    assert "CELERY_TRACKING_<NAME>" in str(caught.value)
    assert "CELERY_TRACKING_CONFIG" in str(caught.value)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting is read from a variable with its name, nested ones as JSON."""
    monkeypatch.setenv("CELERY_TRACKING_DATABASE_URL", URL)
    monkeypatch.setenv("CELERY_TRACKING_LEASE_S", "12.5")
    monkeypatch.setenv("CELERY_TRACKING_TASK_POLICIES", '{"mail.send": "redeliver"}')
    monkeypatch.setenv("CELERY_TRACKING_MASKED_NAMES", '["pin"]')

    settings = load_settings()

    assert settings.lease_s == 12.5
    assert settings.task_policies == {"mail.send": Policy.REDELIVER}
    assert settings.masked_names == {"pin"}


def test_settings_come_from_the_file_in_the_working_directory(somewhere_empty: Path) -> None:
    """The table [celery_tracking] of celery-tracking.toml is read where no variable names a file."""
    write(somewhere_empty / "celery-tracking.toml", f'[celery_tracking]\ndatabase_url = "{URL}"\nlease_s = 20\n')

    assert load_settings().lease_s == 20


def test_settings_come_from_the_file_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, somewhere_empty: Path
) -> None:
    """The file that CELERY_TRACKING_CONFIG names is read instead of the one in the working directory."""
    write(somewhere_empty / "celery-tracking.toml", "[celery_tracking]\nlease_s = 20\n")
    named = write(somewhere_empty / "other.toml", "[celery_tracking]\nlease_s = 30\n")
    monkeypatch.setenv("CELERY_TRACKING_CONFIG", str(named))

    assert load_settings(database_url=URL).lease_s == 30


def test_arguments_win_over_environment_and_environment_over_file(
    monkeypatch: pytest.MonkeyPatch, somewhere_empty: Path
) -> None:
    """Of several sources, the argument stands, then the environment, then the file, then the default."""
    write(
        somewhere_empty / "celery-tracking.toml",
        "[celery_tracking]\nlease_s = 20\nsweep_interval_s = 2\nping_timeout_s = 3\n",
    )
    monkeypatch.setenv("CELERY_TRACKING_LEASE_S", "30")
    monkeypatch.setenv("CELERY_TRACKING_SWEEP_INTERVAL_S", "4")

    settings = load_settings(database_url=URL, lease_s=40)

    assert settings.lease_s == 40
    assert settings.sweep_interval_s == 4
    assert settings.ping_timeout_s == 3
    assert settings.heartbeat_interval_s == 2


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"lease_s": -1}, "lease_s: Input should be greater than 0, got -1"),
        (
            {"lease_s": "soon"},
            "lease_s: Input should be a valid number, unable to parse string as a number, got 'soon'",
        ),
        ({"lease_s": 3601}, "lease_s: Input should be less than or equal to 3600, got 3601"),
        ({"lease_s": float("nan")}, "got nan"),
        ({"heartbeat_interval_s": 0}, "heartbeat_interval_s: Input should be greater than 0, got 0"),
        ({"write_queue_limit": 0}, "write_queue_limit: Input should be greater than or equal to 1, got 0"),
        ({"stored_result_bytes": 10}, "stored_result_bytes: Input should be greater than or equal to 256, got 10"),
        (
            {"policy": "perhaps"},
            "policy: Input should be 'auto', 'revoke', 'redeliver', 'requeue' or 'report', got 'perhaps'",
        ),
        ({"unreadable_revocations": "no"}, "unreadable_revocations: Input should be 'hold' or 'run', got 'no'"),
        ({"task_policies": {"a.b": "never"}}, "task_policies.a.b: Input should be"),
        ({"leese_s": 3}, "leese_s: Extra inputs are not permitted"),
    ],
    ids=str,
)
def test_a_refusal_names_the_setting_the_expected_and_what_arrived(overrides: dict[str, Any], says: str) -> None:
    """Each unusable value is refused with its name, what was expected, and what arrived."""
    assert says in refusal(**overrides)


def test_every_unusable_setting_is_told_at_once() -> None:
    """A user with two mistakes reads both."""
    message = refusal(lease_s=-1, policy="perhaps")

    assert "lease_s" in message
    assert "policy" in message


def test_an_unbounded_redelivery_wait_is_refused() -> None:
    """A bound that no time stamp can hold is refused at the entry point, not by a sweep."""
    assert "redelivery_bound_s" in refusal(redelivery_bound_s=float("inf"))


@pytest.mark.parametrize(("lease_s", "fits"), [(5.99, False), (6.0, True)])
def test_a_lease_spans_three_heartbeats(lease_s: float, *, fits: bool) -> None:
    """A lease shorter than three heartbeats is refused with both numbers and their unit; three are enough."""
    values = {"database_url": URL, "heartbeat_interval_s": 2, "sweep_interval_s": 1, "lease_s": lease_s}
    if fits:
        assert load_settings(**values).lease_s == lease_s
    else:
        assert "three times heartbeat_interval_s (2 s), got 5.99 s" in refusal(**values)


@pytest.mark.parametrize("name", ["sweep_interval_s", "ping_timeout_s"])
def test_a_pause_between_sweeps_that_could_hide_an_outage_is_refused(name: str) -> None:
    """Neither pause may be longer than lease less heartbeat; the message gives the bound with its unit."""
    message = refusal(lease_s=10, heartbeat_interval_s=2, **{name: 8.5})

    assert "lease_s - heartbeat_interval_s (8 s)" in message
    assert "8.5 s" in message


def test_a_broken_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A settings file that is no TOML is named with the place of the mistake."""
    path = write(tmp_path / "broken.toml", "[celery_tracking\n")
    monkeypatch.setenv("CELERY_TRACKING_CONFIG", str(path))

    message = refusal()

    assert f"{path}: not valid TOML" in message
    assert "line 1" in message


def test_a_file_in_another_encoding_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A settings file that is not UTF-8 is refused like any other that is no TOML."""
    path = tmp_path / "latin.toml"
    path.write_bytes("[celery_tracking]\n# für alle\n".encode("latin-1"))
    monkeypatch.setenv("CELERY_TRACKING_CONFIG", str(path))

    assert str(path) in refusal()


def test_a_missing_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file that the environment names and that cannot be read is an error, not an empty file."""
    monkeypatch.setenv("CELERY_TRACKING_CONFIG", str(tmp_path / "none.toml"))

    message = refusal()

    assert "none.toml: cannot be read" in message
    assert "CELERY_TRACKING_CONFIG names it" in message


def test_a_file_whose_section_is_no_table_is_refused(somewhere_empty: Path) -> None:
    """`celery_tracking` must be a table; the message shows what it is instead."""
    write(somewhere_empty / "celery-tracking.toml", "celery_tracking = 3\n")

    assert "expected a table [celery_tracking], got 3" in refusal()


@pytest.mark.parametrize("name", ["TASK_POLICIES", "MASKED_NAMES"])
def test_a_variable_that_is_no_json_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A nested setting whose variable holds no JSON is a configuration error that names the setting."""
    monkeypatch.setenv(f"CELERY_TRACKING_{name}", "{no json")

    assert name.lower() in refusal()


def test_the_password_is_never_shown() -> None:
    """Neither repr nor text of the settings shows the database's password."""
    settings = load_settings(database_url=URL)

    assert "hush-hush" not in repr(settings)
    assert "hush-hush" not in str(settings)
    assert "hush-hush" in settings.sqlalchemy_url


def test_the_password_is_not_shown_in_a_refusal() -> None:
    """A database URL under a misspelt name is refused by name, without its password."""
    message = refusal(databse_url=URL)

    assert "databse_url" in message
    assert "hush-hush" not in message


def test_settings_cannot_be_changed() -> None:
    """Settings are validated once and frozen."""
    settings = load_settings(database_url=URL)

    with pytest.raises(ValidationError, match="frozen"):
        settings.lease_s = 1.0


@pytest.mark.parametrize("scheme", ["postgresql://", "postgres://", "postgresql+psycopg://"])
def test_any_postgres_url_gets_the_driver_that_is_installed(scheme: str) -> None:
    """SQLAlchemy is given a URL with the driver psycopg, however the user's URL begins."""
    settings = load_settings(database_url=URL.replace("postgresql://", scheme))

    assert settings.sqlalchemy_url == URL.replace("postgresql://", "postgresql+psycopg://")


@pytest.mark.parametrize(
    ("policy", "task_policies", "acks_late", "expected"),
    [
        ("auto", {}, True, Policy.REDELIVER),
        ("auto", {}, False, Policy.REVOKE),
        ("revoke", {}, True, Policy.REVOKE),
        ("redeliver", {}, False, Policy.REDELIVER),
        ("report", {}, True, Policy.REPORT),
        ("report", {"mail.send": "auto"}, True, Policy.REDELIVER),
        ("auto", {"mail.send": "report"}, True, Policy.REPORT),
        ("revoke", {"other.task": "report"}, True, Policy.REVOKE),
    ],
)
def test_a_tasks_policy_is_its_own_or_the_general_one(
    policy: str, task_policies: dict[str, str], expected: Policy, *, acks_late: bool
) -> None:
    """A task's own policy stands over the general one, and `auto` follows acks_late."""
    settings = load_settings(database_url=URL, policy=policy, task_policies=task_policies)

    assert settings.policy_for("mail.send", acks_late=acks_late) is expected


def test_a_task_without_a_name_has_the_general_policy() -> None:
    """A record that never learnt its task's name is treated by the general policy."""
    settings = load_settings(database_url=URL, policy="report")

    assert settings.policy_for(None, acks_late=True) is Policy.REPORT


def test_the_recovery_bound_covers_lease_sweep_and_ping() -> None:
    """The bound on recovery is the longer of lease and minimum age, plus one sweep, one ping and a second."""
    settings = load_settings(database_url=URL, lease_s=10, minimum_age_s=30, sweep_interval_s=5, ping_timeout_s=1)

    assert settings.recovery_bound_s == 37


def test_expiry_may_be_said_in_celerys_own_words(monkeypatch: pytest.MonkeyPatch, somewhere_empty: Path) -> None:
    """In the table [celery] of the file, which says other things too, and before it in Celery's variables."""
    text = f'[celery_tracking]\ndatabase_url = "{URL}"\n[celery]\nresult_expires = 60\ntimezone = "UTC"\n'
    write(somewhere_empty / "celery-tracking.toml", text)
    monkeypatch.setenv("CELERY_RESULT_EXTENDED_EXPIRES", "120")

    settings = load_settings()

    assert (settings.result_expires, settings.result_extended_expires) == (60, 120)
    monkeypatch.setenv("CELERY_RESULT_EXPIRES", "90")
    assert load_settings().result_expires == 90
    assert "at least result_expires (180 s)" in refusal(result_expires=180)


def test_a_token_that_is_too_short_is_refused_without_being_told() -> None:
    """Who reads the message does not learn the token."""
    said = refusal(api_tokens=[{"token": "hush-hush"}])

    assert "api_tokens.0.token" in said
    assert "hush-hush" not in said.replace(URL, "")
