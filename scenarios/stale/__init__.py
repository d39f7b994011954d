"""The task registry, stale-task detection and clean-up."""
