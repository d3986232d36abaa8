# SPDX-License-Identifier: Apache-2.0
"""What the page of a run shows of its log, and the two addresses below it: parts for the page's script,
and the download. All of it works on parts: see reading.py.
"""
from __future__ import annotations

import re
from typing import Any, Iterator
from urllib.parse import quote, unquote, urlencode

from django.core.exceptions import PermissionDenied
from django.http import (Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse,
                         StreamingHttpResponse)
from django.template.loader import render_to_string
from django.urls import path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from .models import TaskRun
from .reading import MARK, Log, Part
from .text import LEVELS, Levels, visible_html

HITS = 1000
HIT_CHARACTERS = 256 * 1024  # of all hits on a page
LINE_CHARACTERS = 32 * 1024  # of one


def line_html(number: int | None, line: str, level: str, query: str = "", href: str = "",
              with_id: bool = True) -> str:
    name = "" if number is None else f'<a class="tl-number" tabindex="-1" data-number="{number}"' \
        f' aria-label="Line {number}" href="{href}#L{number}"></a>'
    anchor = f' id="L{number}"' if with_id and number is not None else ""
    return f'<div class="tl-line{" tl-" + level if level else ""}"{anchor}>{name}' \
           f"{visible_html(line, query)}</div>"


def part_html(part: Part, with_ids: bool = True) -> SafeString:
    """The data are what the script hands back to get the part before it or what has come after it."""
    levels, first, lines = Levels(), part.number, part.lines
    html = [line_html(None if first is None else first + index, line, levels.of(line),
                      with_id=with_ids and not (part.is_cut and index == 0)) for index, line in enumerate(lines)]
    number = "" if part.next_number is None else part.next_number
    return format_html(
        '<div class="tl-part" data-start="{}" data-next="{}" data-number="{}" data-mark="{}"'
        ' data-last="{}"{}>{}</div>', part.start, part.next, number, quote(part.mark),
        "1" if part.is_last else "", head_data(part), mark_safe("".join(html)))


def head_data(part: Part) -> SafeString:
    """For a part whose text may move: see Log.before."""
    return format_html(' data-head="{}"', quote(part.head)) if part.number is None else mark_safe("")


def log_of(run: TaskRun) -> Log:
    return Log(TaskRun.objects.using(run._state.db).filter(pk=run.pk))


def holds_only_the_end(run: TaskRun, log: Log) -> bool:
    """While a task runs its row may hold no more than `liveBytes`: lines cannot be numbered then."""
    return run.is_running and (log.newlines() + 1 < (run.lines or 0) or log.byte_count() < (run.bytes or 0))


def unnumber(part: Part, only_end: bool) -> None:
    if only_end:
        part.number = None


def filtered(log: Log, query: str, level: str) -> Iterator[tuple[int, str, str]]:
    """Number, text and level of the lines that hold the text and are as severe."""
    levels, least = Levels(), LEVELS.get(level, 0)
    wanted = re.compile(re.escape(query), re.IGNORECASE)
    for number, line in log.all_lines():
        found = levels.of(line)
        if LEVELS.get(found, 0) >= least and (not query or wanted.search(line)):
            yield number, line, found


def first_error_line(run: TaskRun, log: Log) -> int | None:
    """The line of the first error; if it bears its level in the text, then no other that says the same."""
    for word in ("ERROR: ", "CRITICAL: ", "ALERT: ", "EMERGENCY: ", ""):
        position = log.find(word + run.first_error)
        if position >= 0:
            return log.newlines(position) + 1
    return None


def number_in(request: HttpRequest, name: str) -> int | None:
    """A parameter that should be a whole number and came from anywhere."""
    text = request.GET.get(name, "")
    return int(text) if re.fullmatch("[0-9]{1,12}", text) else None


def file_name(run: TaskRun, suffix: str = "") -> str:
    """kind, id and start, of characters that every file system takes."""
    start = timezone.localtime(run.start_time) if timezone.is_aware(run.start_time) else run.start_time
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", f"{run.kind}-{run.task_id}"[:150]).strip("._")
    return f"{name or 'task'}-{start:%Y%m%dT%H%M%S}{suffix}.log"


class LogViews:
    """For the ModelAdmin of TaskRun."""

    def get_urls(self) -> list:
        view = self.admin_site.admin_view
        return [path("<int:pk>/log/", view(self.log_view), name="tasklog_taskrun_log"),
                path("<int:pk>/download/", view(self.download_view), name="tasklog_taskrun_download"),
                *super().get_urls()]

    def _run(self, request: HttpRequest, pk: int) -> TaskRun:
        try:
            run = self.get_object(request, str(pk))
        except OverflowError:  # no database has such a number
            run = None
        if not self.has_view_permission(request, run):
            raise PermissionDenied
        if run is None:
            raise Http404
        return run

    def log_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """For the script: a part before or after another one, or what is new."""
        run = self._run(request, pk)
        log = log_of(run)
        answer = {"running": run.is_running, "head": head_html(run), "status": run.status}
        before, after = number_in(request, "before"), number_in(request, "after")
        if "next" in request.GET:
            answer.update(new_lines(request, run, log))
        elif before is not None or after is not None:
            part = log.after(after) if before is None else log.before(before, head_in(request))
            unnumber(part, holds_only_the_end(run, log))
            answer["html"] = part_html(part)
        response = JsonResponse(answer)
        response["Cache-Control"] = "no-store"
        return response

    def download_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The log as it is, or the lines that the page shows."""
        run = self._run(request, pk)
        log, (query, level) = log_of(run), search_in(request)
        if query or level:
            content = ((f"{line}\n" for _, line, _ in filtered(log, query, level)))
        else:
            content = log.pieces()
        response = StreamingHttpResponse(content, content_type="text/plain; charset=utf-8")
        name = file_name(run, "-filtered" if query or level else "")
        response["Content-Disposition"] = f'attachment; filename="{name}"'
        response["X-Content-Type-Options"] = "nosniff"
        return response

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], add: bool = False,
                           change: bool = False, form_url: str = "", obj: TaskRun | None = None
                           ) -> HttpResponse:
        run = obj
        if request.GET.get("goto") == "error" and run.first_error:
            line = first_error_line(run, log_of(run))
            return HttpResponseRedirect(f"?line={line}#L{line}" if line else "?")
        context.update(log_context(request, run), run=run, head=head_html(run))
        return super().render_change_form(request, context, add, change, form_url, obj)


def search_in(request: HttpRequest) -> tuple[str, str]:
    level = request.GET.get("level", "")
    return request.GET.get("q", "").replace("\0", "")[:200], level if level in LEVELS else ""


def head_in(request: HttpRequest) -> str:
    return unquote(request.GET.get("head", ""))[:MARK]


def head_html(run: TaskRun) -> SafeString:
    return render_to_string("tasklog/head.html", {"run": run})


def new_lines(request: HttpRequest, run: TaskRun, log: Log) -> dict[str, Any]:
    number, only_end = number_in(request, "number"), holds_only_the_end(run, log)
    mark = unquote(request.GET.get("mark", ""))[:MARK]
    part, starts_anew = log.grown(number_in(request, "next") or 0, number, mark)
    if (number is not None) == only_end:  # there were numbers and now are none, or the other way round
        part, starts_anew = log.last(), True
    unnumber(part, only_end)
    has_any = bool(part.text) or starts_anew
    return {"html": part_html(part) if has_any else "", "anew": starts_anew, "only_end": only_end}


def first_hits(rows: Iterator[tuple[int, str, str]]) -> tuple[list[tuple[int, str, str]], bool]:
    """As many as a page holds, and whether there are more: lines may be long."""
    hits: list[tuple[int, str, str]] = []
    room = HIT_CHARACTERS
    for row in rows:
        if len(hits) == HITS or room <= 0:
            return hits, True
        hits.append(row)
        room -= min(len(row[1]), LINE_CHARACTERS)
    return hits, False


def clipped(line: str) -> str:
    left = len(line) - LINE_CHARACTERS
    return line if left <= 0 else f"{line[:LINE_CHARACTERS]} [\u2026 {left:,} more characters: download the log]"


def log_context(request: HttpRequest, run: TaskRun) -> dict[str, Any]:
    """What the template needs: lines that were searched for, or a part of the log."""
    log, (query, level) = log_of(run), search_in(request)
    context = {"query": query, "level": level, "is_filtered": bool(query or level)}
    if query or level:
        skip = number_in(request, "skip") or 0
        rows = (row for row in filtered(log, query, level) if row[0] > skip)
        hits, more = first_hits(rows)
        context.update(
            hit_count=len(hits), is_limited=more, filter_query=urlencode({"q": query, "level": level}),
            more=urlencode({"q": query, "level": level, "skip": hits[-1][0]}) if more else "",
            log_html=mark_safe("".join(
                line_html(number, clipped(line), found, query, f"?line={number}", with_id=False)
                for number, line, found in hits)))
        return context
    line, before, after = (number_in(request, name) for name in ("line", "before", "after"))
    if line is not None:
        part = log.around(max(line, 1))
    elif before is not None:
        part = log.before(before, head_in(request))
    elif after is not None:
        part = log.after(after)
    else:
        part = log.last()
    if not part.text and (before is not None or after is not None):
        part = log.last()
    only_end = holds_only_the_end(run, log)
    unnumber(part, only_end)
    earlier = {"before": part.start, **({"head": quote(part.head)} if only_end else {})}
    context.update(part=part, only_end=only_end, earlier=urlencode(earlier), log_html=part_html(part),
                   follows=run.is_running and part.is_last)
    return context
