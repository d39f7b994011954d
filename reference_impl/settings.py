"""Every setting of the tracker: its unit, its default, its bounds, its help.

Read from, in this order: arguments, environment variables `CELERY_TRACKING_<NAME>`, the table
`[celery_tracking]` of the TOML file that `CELERY_TRACKING_CONFIG` names (`celery-tracking.toml` in the
working directory when it is unset). `result_expires` and `result_extended_expires` may also be said in Celery's
own words: `CELERY_RESULT_EXPIRES` in the environment, the table `[celery]` of the file.
"""

from __future__ import annotations

import os
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

PREFIX = "CELERY_TRACKING_"
FILE_VARIABLE = f"{PREFIX}CONFIG"
DEFAULT_FILE = Path("celery-tracking.toml")
CELERY_PREFIX = "CELERY_"
CELERYS_OWN = frozenset({"result_expires", "result_extended_expires"})
"""Settings that speak of Celery rather than of the tracker."""


class ConfigurationError(Exception):
    """The settings cannot be used; the message names each one, what was expected, and what arrived."""


class Policy(StrEnum):
    """What a sweep does with a task whose worker is dead."""

    AUTO = "auto"
    REVOKE = "revoke"
    REDELIVER = "redeliver"
    REQUEUE = "requeue"
    REPORT = "report"


class Unreadable(StrEnum):
    """What a redelivered task does while the revocations cannot be read."""

    HOLD = "hold"
    RUN = "run"


class ApiToken(BaseModel):
    """Who may use the API."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token: SecretStr = Field(min_length=16)
    owner: str | None = Field(default=None, min_length=1, description="whose tasks it shows; of all where it is unset")


class Settings(BaseSettings):
    """Validated once, at the entry point, and passed inward."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    database_url: SecretStr = Field(
        description="SQLAlchemy URL of the registry's Postgres, for example postgresql://user:secret@host/db"
    )
    heartbeat_interval_s: float = Field(
        default=2.0, gt=0, le=300, description="seconds between two renewals of a worker's lease"
    )
    lease_s: float = Field(
        default=10.0, gt=0, le=3600, description="seconds without renewal after which a lease has run out"
    )
    sweep_interval_s: float = Field(default=5.0, gt=0, le=3600, description="seconds between two sweeps")
    check_interval_s: float | None = Field(
        default=None, gt=0, le=86400, description="seconds between two checks that beat asks for; unset for none"
    )
    ping_timeout_s: float = Field(
        default=1.0, gt=0, le=60, description="seconds a sweep waits for workers to answer through the broker"
    )
    minimum_age_s: float = Field(
        default=10.0, ge=0, le=86400, description="seconds for which no sweep touches a started task"
    )
    write_timeout_s: float = Field(
        default=0.25, gt=0, le=30, description="seconds a task waits at most for one tracking write"
    )
    write_queue_limit: int = Field(
        default=10_000, ge=1, description="tracking writes a process keeps while the database is away"
    )
    spool_directory: Path | None = Field(
        default=None,
        description="where such writes are kept on disk, too, for the processes of one registry on one machine; one "
        "in the system's temporary directory when it is not set, which may not outlive a container",
    )
    revocation_wait_s: float = Field(
        default=5.0, gt=0, le=600, description="seconds a redelivered task waits for unreadable revocations"
    )
    unreadable_revocations: Unreadable = Field(
        default=Unreadable.HOLD,
        description="after that wait: hold the redelivered task until they can be read, or run it",
    )
    policy: Policy = Field(
        default=Policy.AUTO,
        description="what a sweep does with a dead worker's task: auto (redeliver when acks_late, else revoke), "
        "revoke, redeliver, requeue, report",
    )
    task_policies: dict[str, Policy] = Field(
        default_factory=dict, description="task name to policy, where it differs from `policy`"
    )
    redelivery_bound_s: float = Field(
        default=3900.0,
        gt=0,
        le=30 * 86400,
        description="seconds a task waits for the broker to deliver it again before it is revoked; longer than "
        "the broker's visibility time-out",
    )
    stuck_after_s: float = Field(
        default=3600.0,
        gt=0,
        le=30 * 86400,
        description="seconds without progress after which a task of a living worker is reported as stuck",
    )
    allowed_s: float | None = Field(
        default=None,
        gt=0,
        le=366 * 86400,
        description="seconds a task may be executed before it counts as overrunning; unset for any",
    )
    task_allowed_s: dict[str, Annotated[float, Field(gt=0, le=366 * 86400)]] = Field(
        default_factory=dict, description="task name to such seconds, where they differ from `allowed_s`"
    )
    end_overruns: bool = Field(
        default=False, description="have its worker terminate a task that overruns, instead of only telling of it"
    )
    lost_attempts_max: int = Field(
        default=3, ge=1, le=1000, description="how often a task may take its process with it before it is given up"
    )
    stored_arguments_bytes: int = Field(
        default=8192, ge=256, le=1_048_576, description="largest stored form of args, and of kwargs, in bytes"
    )
    stored_result_bytes: int = Field(
        default=8192, ge=256, le=1_048_576, description="largest stored form of a result, in bytes"
    )
    stored_message_bytes: int = Field(
        default=262_144,
        ge=256,
        le=16_777_216,
        description="largest message kept to be sent again, in bytes; of tasks whose policy is requeue or report",
    )
    result_inline_bytes: int = Field(
        default=1_000_000,
        ge=0,
        le=16_777_216,
        description="largest result kept in a row, and in Celery's result backend, in bytes of its JSON; a larger one "
        "is kept by reference",
    )
    result_bytes_max: int = Field(
        default=268_435_456, ge=1024, description="largest result that is kept at all, in bytes of its JSON"
    )
    result_expires: float | None = Field(
        default=None,
        gt=0,
        description="seconds for which a result can be fetched, also from Celery's result backend; Celery's own "
        "result_expires when it is not set",
    )
    result_extended_expires: float | None = Field(
        default=7 * 86400.0,
        gt=0,
        description="seconds after its end for which it can be told what became of a task; longer than result_expires",
    )
    stored_traceback_bytes: int = Field(
        default=16_384, ge=256, le=1_048_576, description="largest stored form of a traceback, in bytes"
    )
    api_tokens: tuple[ApiToken, ...] = Field(
        default=(),
        description="who may use the API: tables with a token of 16 characters or more, and an owner where it shows "
        "the tasks of one only",
    )
    sitrep_ttl_s: float = Field(
        default=2.0, ge=0, le=300, description="seconds for which one gathering answers everybody who asks for a sitrep"
    )
    analysis_services: dict[str, str] = Field(
        default_factory=dict, description="analyser service to its WebSocket URL; without any there are no analyses"
    )
    analysis_deadline_s: float = Field(
        default=60.0, gt=0, le=86400, description="seconds for which analyser services are heard"
    )
    results_directory: Path = Field(
        default=Path("results"), description="where files of analyses are; one directory for all workers"
    )
    results_gzip_bytes: int = Field(
        default=1_000_000, ge=0, description="size from which such a file is compressed, in bytes of its JSON"
    )
    results_keep_s: float | None = Field(
        default=None, gt=0, description="seconds after its end for which an analysis keeps its file; unset for ever"
    )
    metrics_port: int = Field(
        default=0, ge=0, le=65535, description="port at which a worker serves Prometheus metrics; 0 serves none"
    )
    metrics_host: str = Field(default="127.0.0.1", description="address at which a worker serves Prometheus metrics")
    masked_names: frozenset[str] = Field(
        default=frozenset({"password", "passwd", "secret", "token", "api_key", "apikey", "authorization"}),
        description="argument and dictionary names whose values are stored as ***",
    )

    @model_validator(mode="after")
    def _timing_holds_together(self) -> Self:
        if self.lease_s < 3 * self.heartbeat_interval_s:
            raise ValueError(
                f"lease_s must be at least three times heartbeat_interval_s "
                f"({self.heartbeat_interval_s:g} s), got {self.lease_s:g} s"
            )
        if self.continuity_s < max(self.sweep_interval_s, self.ping_timeout_s):
            raise ValueError(
                f"sweep_interval_s and ping_timeout_s must each be at most lease_s - heartbeat_interval_s "
                f"({self.continuity_s:g} s), got {self.sweep_interval_s:g} s and {self.ping_timeout_s:g} s"
            )
        expires, extended = self.result_expires, self.result_extended_expires
        if expires is not None and extended is not None and extended < expires:
            raise ValueError(
                f"result_extended_expires must be at least result_expires ({expires:g} s), got {extended:g} s"
            )
        return self

    @property
    def continuity_s(self) -> float:
        """The longest gap between two sweeps that cannot hide a database outage, in seconds."""
        return self.lease_s - self.heartbeat_interval_s

    @property
    def recovery_bound_s(self) -> float:
        """Within how many seconds a dead worker's task is closed while one sweeper lives."""
        return max(self.lease_s, self.minimum_age_s) + self.sweep_interval_s + self.ping_timeout_s + 1.0

    @property
    def sqlalchemy_url(self) -> str:
        """The database URL with the driver this package installs."""
        url = self.database_url.get_secret_value()
        for prefix in ("postgresql://", "postgres://"):
            if url.startswith(prefix):
                return "postgresql+psycopg://" + url.removeprefix(prefix)
        return url

    def policy_for(self, task_name: str | None, *, acks_late: bool) -> Policy:
        """The policy of one task, with `auto` resolved."""
        policy = self.task_policies.get(task_name or "", self.policy)
        if policy is Policy.AUTO:
            return Policy.REDELIVER if acks_late else Policy.REVOKE
        return policy

    def allowed_for(self, task_name: str | None) -> float | None:
        """How many seconds one task may be executed; None for any."""
        return self.task_allowed_s.get(task_name or "", self.allowed_s)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments and environment; `load_settings` adds the file."""
        return (init_settings, env_settings)


def load_settings(**overrides: Any) -> Settings:
    """Settings from arguments, environment and file.

    Raises ConfigurationError, whose message is fit for a user.
    """
    from_file = _file_table()
    from_environment = {name.removeprefix(PREFIX).lower() for name in os.environ if name.startswith(PREFIX)}
    celerys = {name: os.environ.get(f"{CELERY_PREFIX}{name.upper()}") for name in CELERYS_OWN}
    for name in sorted(from_environment - set(Settings.model_fields) - {FILE_VARIABLE.removeprefix(PREFIX).lower()}):
        raise ConfigurationError(f"{PREFIX}{name.upper()} in the environment is no setting; see Settings for the names")
    from_file |= {name: value for name, value in celerys.items() if value is not None}
    merged = {name: value for name, value in from_file.items() if name not in from_environment} | overrides
    try:
        return Settings(**merged)
    except SettingsError as error:
        cause = f": {error.__cause__}" if error.__cause__ else ""
        raise ConfigurationError(f"the tracker's settings cannot be used: {error}{cause}") from error
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            name = ".".join(str(part) for part in problem["loc"])
            # A value under a name that does not exist may be a secret under a misspelt one.
            told = name and problem["type"] not in {"missing", "extra_forbidden"} and problem["loc"][0] != "api_tokens"
            arrived = f", got {problem['input']!r}" if told else ""
            lines.append(f"{name + ': ' if name else ''}{problem['msg']}{arrived}")
        raise ConfigurationError(
            "the tracker's settings cannot be used:\n  "
            + "\n  ".join(lines)
            + f"\nset {PREFIX}<NAME> in the environment, or the name in the file that {FILE_VARIABLE} names"
        ) from error


def _file_table() -> dict[str, Any]:
    named = os.environ.get(FILE_VARIABLE)
    path = Path(named) if named else DEFAULT_FILE
    if not named and not path.exists():
        return {}
    try:
        with path.open("rb") as file:
            tables = tomllib.load(file)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror}); {FILE_VARIABLE} names it") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: not valid TOML: {error}") from error
    table, celerys = _table(path, tables, "celery_tracking"), _table(path, tables, "celery")
    return table | {name: value for name, value in celerys.items() if name in CELERYS_OWN}


def _table(path: Path, tables: dict[str, Any], name: str) -> dict[str, Any]:
    table = tables.get(name, {})
    if not isinstance(table, dict):
        raise ConfigurationError(f"{path}: expected a table [{name}], got {table!r}")
    return table
