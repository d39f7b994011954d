"""`python -m mail` makes the table."""

from mail.registry import TABLE, execute

execute(TABLE)
