# SPDX-License-Identifier: Apache-2.0
"""tasklog for Django: the runs of background tasks in the admin, and a client that logs them."""

__version__ = "0.1.0"
