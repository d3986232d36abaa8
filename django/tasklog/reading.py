# SPDX-License-Identifier: Apache-2.0
"""Reads a log in parts, where it lies.

A log may have 50 MB and is never loaded whole: the database cuts parts out of it and counts lines in it.
Positions are counted in characters, lines from 1. A part is a run of whole lines; only a line that is longer
than a part is cut.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator

from django.db import connections, models
from django.db.models import F, Func, Value
from django.db.models.functions import Cast, Coalesce, Length, Replace, StrIndex, Substr

PART = 128 * 1024
PIECE = 8 * 1024 * 1024   # what is held at a time of a log that is read from end to end
MARK = 120
ABOVE = 8 * 1024          # what is shown above a line that was asked for


@dataclass
class Part:
    """The characters of a log from `start` on, without the newline that follows, if one does."""

    text: str
    start: int
    next: int              # where what follows begins, now or later
    number: int | None     # of its first line; None where nobody can know
    is_last: bool          # nothing followed when it was read
    is_cut: bool = False   # its first line began before it

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def lines(self) -> list[str]:
        return self.text.split("\n") if self.next else []

    @property
    def next_number(self) -> int | None:
        if self.number is None:
            return None
        goes_on = 0 < self.next == self.end  # in the middle of its last line
        return self.number + len(self.lines) - goes_on

    @property
    def head(self) -> str:
        """Its first characters, by which its start is found again."""
        return self.text[:MARK]

    @property
    def mark(self) -> str:
        """The characters before the end, by which it is found again."""
        return self.text[-MARK:]


class Log:
    """A text column of one row."""

    def __init__(self, row: models.QuerySet, column: str = "log") -> None:
        self._row = row.order_by()
        self._text = Coalesce(F(column), _value(""), output_field=models.TextField())
        self._is_sqlite = connections[row.db].vendor == "sqlite"

    def length(self) -> int:
        return self._ask(Length(self._text))

    def byte_count(self) -> int:
        return self._ask(self._bytes(self._text))

    def newlines(self, end: int | None = None) -> int:
        """How many stand before a position."""
        text = self._text if end is None else Substr(self._text, 1, end)
        return self._ask(self._bytes(text) - self._bytes(Replace(text, _value("\n"), _value(""))))

    def find(self, text: str) -> int:
        """The position of its first occurrence, or -1."""
        return self._ask(StrIndex(self._text, _value(text))) - 1

    def last(self, count: int | None = None) -> Part:
        length = self.length()
        part = self._part(max(0, length - (count or PART)), length, length, number=1)
        if part.start:
            part.number = self.newlines() - part.text.count("\n") + 1
        return part

    def before(self, position: int, head: str = "") -> Part:
        """The part that ends where another one starts. If the text may have moved towards its beginning
        since, as that of a running task's row does, `head` is what the other one began with: where that
        stands now is what counts, and if it is gone, nothing is left before it."""
        length = self.length()
        if head:
            position = self._get(0, position + len(head)).rfind(head)
            if position <= 0:
                return Part("", 0, 0, None, False)
        if not 0 < position <= length:
            return self.last()
        start = max(0, position - PART)
        text = self._get(start, position - start)
        return self._begun(text[:-1] if text.endswith("\n") else text, start, position, False)

    def after(self, position: int) -> Part:
        """The part that begins at the `next` of another one."""
        length = self.length()
        return self._part(min(position, length), min(position + PART, length), length, aligned=True)

    def around(self, line: int) -> Part:
        """With the line near its beginning; the last part if there is no such line."""
        length = self.length()
        position = self._position(line, length)
        if position is None:
            return self.last()
        start = max(0, position - ABOVE)
        part = self._part(start, min(start + PART, length), length, number=0)
        part.number = line - part.text.count("\n", 0, position - part.start)
        return part

    def grown(self, next: int, number: int | None, mark: str) -> tuple[Part, bool]:
        """What was added since a part was read that had this `next`, `next_number` and `mark`; or, if
        that cannot be told, the last part and True: it takes the place of what was read before.

        A running task's row may hold only the end of its log, and then its text moves.
        """
        length, end = self.length(), max(0, next - 1)
        if len(mark) <= end <= length <= next + PART:
            text = self._get(end - len(mark), len(mark) + 1 + PART)
            text, known = text[len(mark):], text[:len(mark)]
            if known == mark and (not text or end == 0 or text[0] == "\n"):
                return Part(text[1:] if end else text, next, length and length + 1, number, True), False
        part = self.last()
        found = part.text.rfind(mark) if mark and number is None else -1
        if found < 0:
            return part, True
        skip = found + len(mark) + 1
        return Part(part.text[skip:], part.start + skip, part.next, None, True), False

    def pieces(self) -> Iterator[str]:
        start, piece = 0, ""
        while start == 0 or len(piece) == PIECE:
            piece = self._get(start, PIECE)
            start += len(piece)
            if not piece:
                return
            yield piece

    def all_lines(self) -> Iterator[tuple[int, str]]:
        """Each with its number, and never all of them at once."""
        number, rest, any_text = 0, "", False
        for piece in self.pieces():
            any_text = True
            *lines, rest = (rest + piece).split("\n")
            for number, line in enumerate(lines, number + 1):
                yield number, line
        if any_text:
            yield number + 1, rest

    def _ask(self, what: models.Expression) -> int | str:
        return self._row.annotate(answer=what).values_list("answer", flat=True).get()

    def _get(self, start: int, count: int) -> str:
        return self._ask(Substr(self._text, start + 1, count)) if count > 0 else ""

    def _bytes(self, text: models.Expression) -> models.Expression:
        if self._is_sqlite:
            return Length(Cast(text, models.BinaryField()), output_field=models.IntegerField())
        return Func(text, function="OCTET_LENGTH", output_field=models.IntegerField())

    def _part(self, start: int, end: int, length: int, aligned: bool = False,
              number: int | None = None) -> Part:
        text, next = self._get(start, end - start), end
        if end >= length:
            next = length and length + 1
        elif "\n" in text:
            text = text[:text.rindex("\n")]
            next = start + len(text) + 1
        return self._begun(text, start, next, end >= length, aligned, number)

    def _begun(self, text: str, start: int, next: int, is_last: bool, aligned: bool = False,
               number: int | None = None) -> Part:
        """Begins with a whole line, if the part has one. To know its number takes a look at all before it."""
        is_cut = start > 0 and not aligned and "\n" not in text
        if start > 0 and not aligned and not is_cut:
            skip = text.index("\n") + 1
            text, start = text[skip:], start + skip
        if number is None:
            number = self.newlines(start) + 1
        return Part(text, start, next, number, is_last, is_cut)

    def _position(self, line: int, length: int) -> int | None:
        """Where a line begins. Halves the log until it is small enough to be looked through."""
        low, high, before = 0, length, 0
        while high - low > PIECE:
            middle = (low + high) // 2
            count = self.newlines(middle)
            if count >= line - 1:
                high = middle
            else:
                low, before = middle, count
        text, found = self._get(low, high - low), -1
        for _ in range(line - 1 - before):
            found = text.find("\n", found + 1)
            if found < 0:
                return None
        return low + found + 1


def _value(text: str) -> Value:
    return Value(text, output_field=models.TextField())
