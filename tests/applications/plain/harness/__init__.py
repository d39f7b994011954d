"""The shop's own harness, for its load tests."""

ORDERS = 100
