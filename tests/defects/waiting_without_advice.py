"""A wait that runs out ends with its exit code and without a word."""

from reference_impl import cli_tasks


def apply() -> None:
    end = cli_tasks._end

    def silent(said: str, exit_code: int, cause: Exception) -> None:
        end("" if exit_code == cli_tasks.EXIT_TIMED_OUT else said, exit_code, cause)

    cli_tasks._end = silent
