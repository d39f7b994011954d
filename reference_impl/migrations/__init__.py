"""The registry's schema, version by version; `celery-tracker migrate` applies them."""
