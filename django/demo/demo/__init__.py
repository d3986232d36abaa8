# SPDX-License-Identifier: Apache-2.0
"""The demo project: settings and URLs."""
