# SPDX-License-Identifier: Apache-2.0
"""Small pieces of HTML that the list and the pages share."""
from __future__ import annotations

from datetime import timedelta

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ..models import Status, TaskRun
from ..text import visible, visible_html

register = template.Library()
register.filter("visible", visible_html)


@register.filter
def badge(status: str) -> SafeString:
    known = status.lower() if status in Status.values else "other"
    label = Status(status).label if status in Status.values else visible(status)
    return format_html('<span class="tl-badge tl-is-{}">{}</span>', known, label)


@register.filter
def progress(run: TaskRun) -> SafeString:
    done = (run.processed or 0) + (run.failed or 0)
    if not run.total or run.total < 0:
        return format_html("{}", done or "")
    text = f"{done} of {run.total}"
    return format_html('<progress max="{}" value="{}" aria-label="Progress">{}</progress> {}',
                       run.total, min(max(done, 0), run.total), text, text)


@register.filter
def spell(span: timedelta | None) -> str:
    """As in the summary: 1m 5s, and tenths where there are no minutes."""
    if span is None:
        return ""
    seconds = span.total_seconds()
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes}m {seconds}s" if hours else f"{minutes}m {seconds}s"
