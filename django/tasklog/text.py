# SPDX-License-Identifier: Apache-2.0
"""What strangers have written, made safe to look at: as HTML, and with nothing in it that hides.

A log's text, a task id or a kind may hold terminal codes, which a browser swallows, and controls that turn
the reading direction, which make a line read as another. Each is shown as a sign of its own.
"""
from __future__ import annotations

import re

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

# C0 but for the tab, DEL and C1; zero width and direction marks; separators that would break a line.
_HIDDEN = re.compile("[\0-\x08\n-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")

LEVELS = {"warning": 1, "error": 2}
_HEAD = re.compile(r"(\[[^\]]{0,64}\] )?(?:(WARNING|ERROR|CRITICAL|ALERT|EMERGENCY): )?")


def _sign(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0xa0 else f"\u27e8U+{code:04X}\u27e9"


def visible(text: str | None) -> str:
    """As plain text."""
    return _HIDDEN.sub(_sign, text or "")


def _signs_as_html(text: str) -> str:
    return _HIDDEN.sub(lambda match: f'<span class="tl-sign">{_sign(match)}</span>', str(escape(text)))


def visible_html(text: str | None, query: str = "") -> SafeString:
    """As HTML, kept apart from the text around it; what was searched for is marked."""
    text = text or ""
    if not query:
        return mark_safe(f"<bdi>{_signs_as_html(text)}</bdi>")
    pieces = re.split(f"({re.escape(query)})", text, flags=re.IGNORECASE)
    html = "".join(f"<mark>{_signs_as_html(piece)}</mark>" if index % 2 else _signs_as_html(piece)
                   for index, piece in enumerate(pieces))
    return mark_safe(f"<bdi>{html}</bdi>")


class Levels:
    """Says how severe each line of a log is, in their order.

    It is in the text, if showLevel is on. A line without a time stamp belongs to the message before it, as
    the lines of a traceback do.
    """

    def __init__(self) -> None:
        self._level = ""
        self._stamped = False

    def of(self, line: str) -> str:
        stamp, word = _HEAD.match(line).groups()
        if stamp or word or not self._stamped:
            self._stamped = bool(stamp)
            self._level = "" if not word else "warning" if word == "WARNING" else "error"
        return self._level
