"""A shop: an application with Celery and nothing beside it."""
