# SPDX-License-Identifier: Apache-2.0
"""ThothAI's two models that have background tasks, as far as their tasks go."""
