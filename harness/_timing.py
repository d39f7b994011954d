"""The clockwork a subject is configured with for a conformance run, in seconds, and the bounds that follow."""

from __future__ import annotations

from dataclasses import dataclass

STARTUP_S = 40.0
"""Within this, a worker or a client of the application is up, on two loaded cores."""


@dataclass(frozen=True)
class Timing:
    """Short enough for tests, in the proportions of production; `task_policies` is JSON, task name to policy."""

    heartbeat_s: float = 0.3
    lease_s: float = 1.5
    sweep_interval_s: float = 0.3
    ping_timeout_s: float = 0.5
    minimum_age_s: float = 0.8
    revocation_wait_s: float = 0.8
    unreadable_revocations: str = "hold"
    policy: str = "auto"
    stuck_after_s: float = 3600.0
    redelivery_bound_s: float = 3900.0
    task_policies: str = "{}"
    allowed_s: float = 3600.0
    end_overruns: str = "false"
    check_interval_s: float = 3600.0
    sitrep_ttl_s: float = 0.3

    @property
    def recovery_bound_s(self) -> float:
        """While one sweeper lives, a dead worker's task is closed within this."""
        return max(self.lease_s, self.minimum_age_s) + self.sweep_interval_s + self.ping_timeout_s + 1.0

    @property
    def patience_s(self) -> float:
        """How long an event that nothing delays may take before it is said not to come."""
        return 2 * self.recovery_bound_s + 5.0
