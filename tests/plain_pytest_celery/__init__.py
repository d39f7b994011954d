"""The same recovery as in the harness, written as a plain pytest-celery test: what `make bench` compares with."""
