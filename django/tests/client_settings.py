# SPDX-License-Identifier: Apache-2.0
"""The demo's project with the app, for the tests that need ThothAI's tables."""
import os

from demo.settings import *  # noqa: F401,F403
from demo.settings import INSTALLED_APPS

if "tasklog" not in INSTALLED_APPS:
    INSTALLED_APPS.append("tasklog")
if "DB_NAME" not in os.environ:
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
TASKLOG_LINK_RUNS = "TASKLOG_LINK_RUNS" in os.environ
