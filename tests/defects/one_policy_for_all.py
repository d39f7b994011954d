"""There is one policy, and names do not matter."""

from reference_impl.settings import Policy, Settings


def apply() -> None:
    def of_all(self: Settings, task_name: str | None, *, acks_late: bool) -> Policy:
        if self.policy is Policy.AUTO:
            return Policy.REDELIVER if acks_late else Policy.REVOKE
        return self.policy

    Settings.policy_for = of_all  # type: ignore[method-assign]
