"""Django's settings; the database is named by the environment."""

import os
from urllib.parse import urlsplit

_database = urlsplit(os.environ.get("DATABASE_URL", "postgresql://news@db.news.example/news"))

SECRET_KEY = os.environ.get("SECRET_KEY", "only for trying out")
INSTALLED_APPS = ["django_celery_results"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _database.path.lstrip("/"),
        "USER": _database.username or "",
        "PASSWORD": _database.password or "",
        "HOST": _database.hostname or "",
        "PORT": _database.port or "",
    }
}
CELERY_BROKER_URL = "redis://redis.news.example:6379/0"
CELERY_RESULT_BACKEND = "django-db"
CELERY_RESULT_EXTENDED = True
CELERY_TASK_TRACK_STARTED = True
