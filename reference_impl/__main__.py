"""`python -m reference_impl` is `celery-tracker`."""

from reference_impl.cli import main

main()
