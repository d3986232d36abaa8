# SPDX-License-Identifier: Apache-2.0
"""The demo's project, for the tests that need ThothAI's tables."""
import os

from demo.settings import *  # noqa: F401,F403

if "DB_NAME" not in os.environ:
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
