# SPDX-License-Identifier: Apache-2.0
"""What the page of a run shows of its log, without a script; and what it hands the script."""
from __future__ import annotations

import re
from html import unescape
from urllib.parse import quote
from typing import Any
from unittest import mock

from django.contrib.auth.models import User
from django.db import connection
from django.test import SimpleTestCase, TestCase
from django.test.utils import CaptureQueriesContext

from tasklog import reading, views
from tasklog.models import TaskRun
from tasklog.reading import Log
from tasklog.text import Levels, visible, visible_html

from .support import add_run, stamped


def numbered(count: int) -> str:
    return "\n".join(stamped(f"line {number}") for number in range(1, count + 1))


class SmallParts(TestCase):
    """With parts of 1000 characters, pieces of 3000 and 100 lines of 31 to 33 characters."""

    def setUp(self) -> None:
        for name, value in (("PART", 1000), ("PIECE", 3000), ("ABOVE", 200)):
            patch = mock.patch.object(reading, name, value)
            patch.start()
            self.addCleanup(patch.stop)
        self.text = numbered(100)
        self.run_ = add_run(log=self.text)
        self.log = Log(TaskRun.objects.filter(pk=self.run_.pk))

    def write(self, text: str | None) -> None:
        TaskRun.objects.update(log=text)


class Parts(SmallParts):
    def check(self, part: reading.Part) -> None:
        """It is what it says, in whole lines."""
        self.assertEqual(self.text[part.start:part.end], part.text)
        self.assertEqual(self.text[:part.start].count("\n") + 1, part.number)
        self.assertLessEqual(len(part.text), 1000)
        self.assertTrue(part.start == 0 or self.text[part.start - 1] == "\n")
        self.assertTrue(part.end == len(self.text) or self.text[part.end] == "\n")
        self.assertEqual(part.is_last, part.end == len(self.text))

    def test_backwards_are_the_whole_log(self) -> None:
        part = self.log.last()
        lines = part.lines
        self.check(part)
        self.assertTrue(part.is_last)
        while part.start:
            part = self.log.before(part.start)
            self.check(part)
            lines = part.lines + lines
        self.assertEqual("\n".join(lines), self.text)

    def test_forwards_are_the_whole_log(self) -> None:
        part, lines = self.log.after(0), []
        while True:
            self.check(part)
            lines += part.lines
            if part.is_last:
                break
            part = self.log.after(part.next)
        self.assertEqual("\n".join(lines), self.text)

    def test_are_found_by_line(self) -> None:
        for line in (1, 2, 7, 50, 99, 100):
            part = self.log.around(line)
            self.check(part)
            self.assertIn(stamped(f"line {line}"), part.lines)
        self.assertTrue(self.log.around(101).is_last)

    def test_of_nothing(self) -> None:
        for text in (None, ""):
            self.write(text)
            for part in (self.log.last(), self.log.around(5), self.log.after(0), self.log.before(0)):
                self.assertEqual((part.lines, part.start, part.next), ([], 0, 0))
            self.assertEqual(list(self.log.all_lines()), [])

    def test_with_empty_lines(self) -> None:
        self.text = "\n\na\n\n"
        self.write(self.text)
        self.assertEqual(self.log.last().lines, ["", "", "a", "", ""])
        self.assertEqual(len(list(self.log.all_lines())), 5)

    def test_cut_a_line_that_is_longer_than_a_part(self) -> None:
        self.write("first\n" + "x" * 2500 + "\nlast")
        part = self.log.last()
        seen = [part]
        while part.start:
            part = self.log.before(part.start)
            seen.insert(0, part)
        text = "".join(part.text for part in seen).replace("\n", "")
        self.assertEqual(text, "first" + "x" * 2500 + "last")
        for part in seen:
            self.assertLessEqual(len(part.text), 1000)
        part, length = self.log.after(0), 0
        for _ in range(9):
            length += part.text.count("x")
            if part.is_last:
                break
            part = self.log.after(part.next)
        self.assertTrue(part.is_last)
        self.assertGreaterEqual(length, 2497)

    def test_count_characters_and_not_bytes(self) -> None:
        self.text = "\n".join("é€\U0001f600" * 20 + str(n) for n in range(60))
        self.write(self.text)
        self.check(self.log.last())
        self.check(self.log.around(40))
        self.assertEqual(self.log.byte_count(), len(self.text.encode()))


class Growth(SmallParts):
    def grown(self, part: reading.Part) -> tuple[str, bool]:
        new, anew = self.log.grown(part.next, part.next_number, part.mark)
        return new.text, anew

    def test_is_what_was_appended(self) -> None:
        part = self.log.last()
        self.assertEqual(self.grown(part), ("", False))
        self.write(self.text + "\nmore\n\nand more")
        self.assertEqual(self.grown(part), ("more\n\nand more", False))
        new, _ = self.log.grown(part.next, part.next_number, part.mark)
        self.assertEqual(new.number, 101)

    def test_from_nothing(self) -> None:
        self.write("")
        part = self.log.last()
        self.write("first")
        self.assertEqual(self.grown(part), ("first", False))

    def test_of_a_log_that_was_written_anew(self) -> None:
        part = self.log.last()
        self.write("another run")
        self.assertEqual(self.grown(part), ("another run", True))
        self.write("x" * len(self.text) + "\nmore")
        self.assertTrue(self.grown(part)[1])

    def test_of_more_than_a_part_is_the_last_part(self) -> None:
        part = self.log.last()
        self.write(self.text + "\n" + numbered(60))
        text, anew = self.grown(part)
        self.assertTrue(anew)
        self.assertTrue(text.endswith("line 60"))

    def test_of_a_window_that_moves(self) -> None:
        """What a running task's row holds when the log is longer than liveBytes."""
        lines = numbered(60).split("\n")
        self.write("\n".join(lines[10:30]))
        part = self.log.last()
        part.number = None
        self.write("\n".join(lines[14:34]))
        self.assertEqual(self.grown(part), ("\n".join(lines[30:34]), False))
        self.write("\n".join(lines[40:60]))
        self.assertTrue(self.grown(part)[1])


class PageTest(TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        cls.chief = User.objects.create_superuser("chief", password="secret")

    def setUp(self) -> None:
        self.client.force_login(self.chief)

    def page(self, run: TaskRun, page: str = "change", **query: Any) -> Any:
        return self.client.get(f"/admin/tasklog/taskrun/{run.pk}/{page}/", query)

    @staticmethod
    def lines_of(html: str) -> list[str]:
        return [unescape(re.sub("<[^>]*>", "", line))
                for line in re.findall('<div class="tl-line.*?<bdi>(.*?)</bdi></div>', html)]

    def lines(self, response: Any) -> list[str]:
        return self.lines_of(response.content.decode())


class Page(PageTest):
    def test_shows_every_line_with_its_number(self) -> None:
        response = self.page(add_run(log=numbered(3)))
        self.assertEqual(self.lines(response), numbered(3).split("\n"))
        self.assertContains(response, 'id="L3"')
        self.assertContains(response, 'href="#L3"')

    def test_shows_text_as_text(self) -> None:
        run = add_run(log=stamped("<script>alert(1)</script> \x1b[31mred \u202egnp.exe \"'&"), kind="<b>k</b>",
                      task_id="<i>\u202e", first_error="<script>x", summary="<script>y", host="<script>z",
                      end_reason="<script>", complete=False, counters={"<script>": 1})
        response = self.page(run)
        html = response.content.decode()
        for tag in ("<script>", "<b>k", "<i>", "\u202e", "\x1b"):
            self.assertNotIn(tag, html)
        self.assertIn("&lt;script&gt;alert(1)&lt;/script&gt;", html)
        self.assertIn('<span class="tl-sign">\u27e8U+202E\u27e9</span>gnp.exe', html)
        answer = self.page(run, "log", next=0, number=1, mark="").json()["html"]
        self.assertNotIn("<script>", answer)

    def test_has_neither_inline_script_nor_style(self) -> None:
        html = self.page(add_run(log=numbered(3), content_object=self.chief)).content.decode()
        self.assertEqual(re.findall(r"<script(?![^>]*\bsrc=)[^>]*>|<style|\sstyle=|\son[a-z]+=", html), [])

    def test_colours_by_severity_and_knows_tracebacks(self) -> None:
        log = "\n".join([stamped("fine"), stamped("ERROR: bad"), "Traceback", "  File", stamped("WARNING: odd"),
                         stamped("fine")])
        html = self.page(add_run(log=log)).content.decode()
        self.assertEqual(re.findall('<div class="tl-line ?([a-z-]*)" id="L', html),
                         ["", "tl-error", "tl-error", "tl-error", "tl-warning", ""])

    def test_filters_by_text_and_level(self) -> None:
        log = "\n".join([stamped("ERROR: Disk <full>"), "at disk 7", stamped("WARNING: slow disk"), stamped("disk"),
                         stamped("else")])
        run = add_run(log=log)
        response = self.page(run, q="DISK")
        self.assertEqual(len(self.lines(response)), 4)
        self.assertContains(response, 'href="?line=2#L2"')
        self.assertContains(response, "<mark>Disk</mark> &lt;full&gt;")
        self.assertEqual(len(self.lines(self.page(run, level="warning"))), 3)
        self.assertEqual(len(self.lines(self.page(run, level="error", q="disk"))), 2)
        self.assertEqual(self.lines(self.page(run, q="<full>")), [stamped("ERROR: Disk <full>")])
        self.assertContains(self.page(run, q="(unclosed"), "0 lines")
        self.assertEqual(len(self.lines(self.page(run, level="nonsense"))), 5)

    def test_shows_many_hits_in_portions(self) -> None:
        run = add_run(log=numbered(25))
        with mock.patch.object(views, "HITS", 10):
            seen, query = [], "q=line"
            for _ in range(3):
                response = self.client.get(f"/admin/tasklog/taskrun/{run.pk}/change/?{query}")
                seen += self.lines(response)
                query = response.context["more"]
        self.assertEqual(seen, numbered(25).split("\n"))
        self.assertFalse(query)

    def test_long_hits_are_shown_in_part(self) -> None:
        with mock.patch.multiple(views, LINE_CHARACTERS=100, HIT_CHARACTERS=250):
            run = add_run(log="\n".join(["b" * 1000] * 5))
            response = self.page(run, q="b")
            self.assertContains(response, "900 more characters", 3)
            self.assertContains(response, "The first 3 lines")
            self.assertContains(self.page(run, q="b", skip=3), "2 lines.")

    def test_jumps_to_the_first_error(self) -> None:
        log = "\n".join([stamped("says: it broke"), stamped("x"), stamped("ERROR: it broke"),
                         stamped("ERROR: it broke")])
        def leads_to(run: TaskRun, place: str) -> None:
            self.assertRedirects(self.page(run, goto="error"), f"/admin/tasklog/taskrun/{run.pk}/change/{place}",
                                 fetch_redirect_response=False)

        run = add_run(log=log, first_error="it broke", errors=2)
        self.assertContains(self.page(run), 'href="?goto=error"')
        leads_to(run, "?line=3#L3")
        run = add_run(task_id="no levels", log=stamped("it broke"), first_error="it broke")
        leads_to(run, "?line=1#L1")
        run = add_run(task_id="missing", log="", first_error="it broke")
        leads_to(run, "?")

    def test_is_read_part_by_part_without_a_script(self) -> None:
        run = add_run(log=numbered(300))
        with mock.patch.object(reading, "PART", 2000):
            response, seen = self.page(run), []
            for _ in range(20):
                seen = self.lines(response) + seen
                link = re.search(r'href="(\?before=\d+)"', response.content.decode())
                if not link:
                    break
                response = self.client.get(f"/admin/tasklog/taskrun/{run.pk}/change/{link[1]}")
            self.assertContains(response, "Load later")
        self.assertEqual(seen, numbered(300).split("\n"))

    def test_takes_any_nonsense_for_a_place(self) -> None:
        run = add_run(log=numbered(3))
        for query in ({"line": "x"}, {"line": "0"}, {"before": "-1"}, {"before": "999999999999"}, {"after": "1e9"},
                      {"after": "999"}, {"line": "9" * 40}, {"q": "\0"}):
            self.assertEqual(self.page(run, **query).status_code, 200, query)
            self.assertEqual(self.page(run, "log", **query).status_code, 200, query)
        self.assertEqual(self.page(run, "log", next="x", number="y", mark="\0").status_code, 200)

    def test_says_how_a_task_ended_without_its_marker(self) -> None:
        self.assertContains(self.page(add_run(complete=False, end_reason="idle")), "without its end marker (<bdi>idle</bdi>)")

    def test_never_asks_for_the_whole_log(self) -> None:
        run = add_run(log=numbered(30))
        for page, query in (("change", {}), ("change", {"q": "x"}), ("log", {"next": 0}), ("change", {"line": 7})):
            with CaptureQueriesContext(connection) as captured:
                self.page(run, page, **query)
            for sql in (query["sql"] for query in captured):
                self.assertNotRegex(sql, r'SELECT[^(]*"log"')


class Following(PageTest):
    def running(self, log: str, **values: Any) -> TaskRun:
        return add_run(status="RUNNING", end_time=None, end_reason="", complete=False, summary="", log=log, **values)

    def follow(self, run: TaskRun, html: str) -> dict[str, Any]:
        data = {name: unescape(re.findall(f'data-{name}="(.*?)"', html, re.DOTALL)[-1])
                for name in ("next", "mark")}
        self.assertTrue(data["mark"].isascii())
        number = re.findall('data-number="([0-9]*)" data-mark', html)[-1]
        return self.page(run, "log", number=number, **data).json()

    def test_is_offered_while_a_task_runs(self) -> None:
        run = self.running(numbered(3))
        self.assertContains(self.page(run), 'data-follows="1"')
        self.assertContains(self.page(run), 'aria-live="polite"')
        self.assertNotContains(self.page(run, q="x"), "data-follows")
        self.assertNotContains(self.page(add_run(task_id="ended")), "data-follows")

    def test_brings_new_lines_and_the_end(self) -> None:
        run = self.running(numbered(3), lines=3)
        html = self.page(run).content.decode()
        self.assertEqual(self.follow(run, html)["html"], "")
        TaskRun.objects.update(log=numbered(5), lines=5, processed=2, total=9)
        answer = self.follow(run, html)
        self.assertTrue(answer["running"])
        self.assertFalse(answer["anew"])
        self.assertIn('value="2"', answer["head"])
        self.assertEqual(re.findall('id="(L.*?)"', answer["html"]), ["L4", "L5"])
        TaskRun.objects.update(log=numbered(6), lines=6, status="COMPLETED", end_time=run.start_time)
        answer = self.follow(run, answer["html"])
        self.assertFalse(answer["running"])
        self.assertIn("tl-is-completed", answer["head"])
        self.assertEqual(re.findall('id="(L.*?)"', answer["html"]), ["L6"])

    def test_of_the_end_of_a_log_has_numbers_only_when_all_is_there(self) -> None:
        lines = numbered(60).split("\n")
        run = self.running("\n".join(lines[20:40]), lines=40)
        html = self.page(run).content.decode()
        self.assertIn("its lines have no numbers yet", html)
        self.assertNotIn('id="L1"', html)
        earlier = self.page(run, "log", before=len("\n".join(lines[20:30])) + 1).json()["html"]
        self.assertEqual(self.lines_of(earlier), lines[20:30])
        self.assertNotIn("id=", earlier)
        # The row moves on, and what stood before a part stands elsewhere, or is gone.
        TaskRun.objects.update(log="\n".join(lines[23:43]), lines=43)
        for first, left in ((30, lines[23:30]), (22, [])):
            earlier = self.page(run, "log", before=len("\n".join(lines[20:first])) + 1,
                                head=quote("\n".join(lines[first:40])[:reading.MARK])).json()["html"]
            self.assertEqual(self.lines_of(earlier), left)
        TaskRun.objects.update(log="\n".join(lines[23:43]), lines=43)
        answer = self.follow(run, html)
        self.assertEqual(self.lines_of(answer["html"]), lines[40:43])
        self.assertTrue(answer["only_end"])
        TaskRun.objects.update(log="\n".join(lines), lines=60, status="FAILED", end_time=run.start_time)
        answer = self.follow(run, answer["html"])
        self.assertTrue(answer["anew"])
        self.assertEqual(self.lines_of(answer["html"]), lines)
        self.assertIn('id="L60"', answer["html"])

    def test_goes_on_when_the_row_begins_to_hold_only_the_end(self) -> None:
        lines = numbered(60).split("\n")
        run = self.running("\n".join(lines[:20]), lines=20)
        html = self.page(run).content.decode()
        TaskRun.objects.update(log="\n".join(lines[5:25]), lines=25)
        answer = self.follow(run, html)
        self.assertTrue(answer["anew"])
        self.assertNotIn("id=", answer["html"])

class Download(PageTest):
    def test_is_the_log_as_it_is(self) -> None:
        run = add_run(log=stamped("\u202e\x1b<b>é") + "\n" + numbered(300), kind="im/port", task_id='a"b\n../ü')
        with mock.patch.object(reading, "PIECE", 1000):
            response = self.page(run, "download")
            self.assertEqual(b"".join(response.streaming_content).decode(), TaskRun.objects.get().log)
        self.assertEqual(response["Content-Disposition"],
                         'attachment; filename="im_port-a_b-20261124T103107.log"')
        self.assertEqual(response["Content-Type"], "text/plain; charset=utf-8")
        self.assertEqual(response["X-Content-Type-Options"], "nosniff")

    def test_of_what_is_shown(self) -> None:
        run = add_run(log="\n".join([stamped("a"), stamped("ERROR: b"), stamped("ERROR: c")]))
        response = self.page(run, "download", q="B", level="error")
        self.assertEqual(b"".join(response.streaming_content).decode(), stamped("ERROR: b") + "\n")
        self.assertIn("-filtered.log", response["Content-Disposition"])


class Text(SimpleTestCase):
    def test_that_hides_is_made_visible(self) -> None:
        self.assertEqual(visible("a\0\tb\x9b\x7f\u2066c\n"), "a\\x00\tb\\x9b\\x7f\u27e8U+2066\u27e9c\\x0a")
        self.assertEqual(visible(None), "")

    def test_is_marked_where_it_was_found(self) -> None:
        self.assertEqual(visible_html("a<B>b", "b"), "<bdi>a&lt;<mark>B</mark>&gt;<mark>b</mark></bdi>")

    def test_without_stamps_has_no_lines_that_belong_together(self) -> None:
        levels = Levels()
        self.assertEqual([levels.of(line) for line in ("ERROR: a", "b", "CRITICAL: c", "WARNING: d", "")],
                         ["error", "", "error", "warning", ""])
