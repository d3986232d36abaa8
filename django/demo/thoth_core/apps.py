# SPDX-License-Identifier: Apache-2.0
"""The app's name for Django."""
from django.apps import AppConfig


class ThothCoreConfig(AppConfig):
    name = "thoth_core"
    verbose_name = "Thoth core"
