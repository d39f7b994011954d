"""Secrets in messages and tracebacks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_impl.masking import masked, masked_throughout
from reference_impl.settings import Settings

NAMES = Settings.model_fields["masked_names"].default


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("connect postgres://joe:s3cr3t@db/x failed", "connect postgres://joe:***@db/x failed"),
        ("password=hunter2, user=joe", "password=***, user=joe"),
        ("{'api_key': 'abc def', 'x': 1}", "{'api_key': ***, 'x': 1}"),
        ('{"db_password": "hunter2"}', '{"db_password": ***}'),
        ("DB_PASSWORD: hunter2", "DB_PASSWORD: ***"),
        ("Bearer abcdef123456 was refused", "Bearer *** was refused"),
        ("no token found here", "no token found here"),
        ("a secret ingredient", "a secret ingredient"),
    ],
)
def test_what_stands_for_a_secret_is_masked(text: str, shown: str) -> None:
    """Values behind telling names, in URLs and in headers are masked, and nothing else."""
    assert masked(text, NAMES) == shown


def test_forms_are_masked_throughout() -> None:
    """In a stored form, every text is looked at."""
    assert masked_throughout({"a": ["token=abc", 1, None]}, NAMES) == {"a": ["token=***", 1, None]}


@given(st.text())
def test_any_text_can_be_looked_at(text: str) -> None:
    """Masking never raises, and masking what is masked changes nothing more."""
    once = masked(text, NAMES)

    assert masked(once, NAMES) == once
