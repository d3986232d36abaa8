# SPDX-License-Identifier: Apache-2.0
"""Runs as tasklog writes them, and a policy that allows no inline script or style."""
from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Callable

from django.http import HttpRequest, HttpResponse

from tasklog.models import TaskRun

POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " \
         "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
START = datetime(2026, 11, 24, 10, 31, 7, tzinfo=timezone.utc)


def strict_policy(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable:
    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response["Content-Security-Policy"] = POLICY
        return response
    return middleware


def stamped(text: str, second: int = 0) -> str:
    return f"[{START + timedelta(seconds=second):%Y-%m-%d %H:%M:%S}] {text}"


def a_run(**values: Any) -> TaskRun:
    """An unsaved one that has ended well."""
    return TaskRun(**{
        "kind": "import", "task_id": "run-1", "start_time": START, "status": "COMPLETED",
        "end_time": START + timedelta(seconds=3), "duration": 3.0, "lines": 1, "bytes": 4, "warnings": 0,
        "errors": 0, "end_reason": "marker", "complete": True, "log": stamped("done"),
        "summary": "Completed: 1 lines, Total time: 3s", "updated_at": START, **values})


def add_run(**values: Any) -> TaskRun:
    run = a_run(**values)
    run.save()
    return run
