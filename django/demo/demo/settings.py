# SPDX-License-Identifier: Apache-2.0
"""Settings of a project that is thrown away after the demo. Not an example for a server.

Environment:

    DB              sqlite (the default) or postgresql
    DB_NAME         the SQLite file, or the database's name
    DB_HOST, DB_PORT, DB_USER, DB_PASSWORD      PostgreSQL; libpq's own defaults hold
    TASKLOG_SOCKET  where tasks log to
    TASKLOG_LINK_RUNS   if set: the socket takes times that are sent along, so runs are linked to rows
    DEMO_PAUSE      seconds between two lines of a task, so that one can watch it
"""
import os
from pathlib import Path

from django.core.management.utils import get_random_secret_key

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = get_random_secret_key()
DEBUG = True
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "tasklog",
    "thoth_core",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [{
    "BACKEND": "django.template.backends.django.DjangoTemplates",
    "APP_DIRS": True,
    "OPTIONS": {"context_processors": [
        "django.template.context_processors.request",
        "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages",
    ]},
}]
ROOT_URLCONF = "demo.urls"
STATIC_URL = "/static/"

if os.environ.get("DB", "sqlite") == "postgresql":
    DATABASES = {"default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ.get("DB_NAME", "demo"),
        "HOST": os.environ.get("DB_HOST", ""),
        "PORT": os.environ.get("DB_PORT", ""),
        "USER": os.environ.get("DB_USER", ""),
        "PASSWORD": os.environ.get("DB_PASSWORD", ""),
    }}
else:
    DATABASES = {"default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DB_NAME", str(BASE_DIR / "db.sqlite3")),
        "OPTIONS": {"timeout": 20},
    }}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# The lines of a log bear rsyslogd's local time; the admin should show the same clock.
USE_TZ = True
TIME_ZONE = os.environ.get("TZ") or "UTC"

TASKLOG_SOCKET = os.environ.get("TASKLOG_SOCKET", "/run/tasklog/log")
TASKLOG_LINK_RUNS = "TASKLOG_LINK_RUNS" in os.environ
DEMO_PAUSE = float(os.environ.get("DEMO_PAUSE", "0.03"))
