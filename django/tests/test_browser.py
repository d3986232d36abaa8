# SPDX-License-Identifier: Apache-2.0
"""An administrator's way through the pages, in a real Chromium. Screenshots go to build/screenshots."""
from __future__ import annotations

import re
import shutil
import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from unittest import skipUnless

from django.contrib.auth.models import User
from django.contrib.staticfiles.testing import StaticLiveServerTestCase
from django.test import tag
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

from tasklog.models import TaskRun

from . import chromium
from .models import SqlDb
from .support import add_run, stamped

SHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"
HOSTILE = "<script>document.title='owned'</script> \x1b[31mred\x1b[0m \u202egnp.exe"


def seconds_to_copy(text: str) -> float:
    began = time.monotonic()
    bytearray(text, "ascii")
    return time.monotonic() - began


@tag("browser")
@skipUnless(chromium.DRIVER, "chromium-driver is not installed: make deps")
class Browser(StaticLiveServerTestCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        SHOTS.mkdir(parents=True, exist_ok=True)
        cls.downloads = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.downloads)
        cls.browser = chromium.start("--window-size=1280,1000",
                                     **{"download.default_directory": str(cls.downloads)})
        cls.addClassCleanup(cls.browser.quit)

    def setUp(self) -> None:
        User.objects.create_superuser("chief", password="secret")
        self.browser.delete_all_cookies()
        self.open("/admin/tasklog/taskrun/")
        self.one("#id_username").send_keys("chief")
        self.one("#id_password").send_keys("secret")
        self.one("[type=submit]").click()
        self.wait(lambda: self.one("#changelist"))

    def tearDown(self) -> None:
        """Neither the policy nor a script complained."""
        told = [entry["message"] for entry in self.browser.get_log("browser")
                if "favicon" not in entry["message"]]
        self.assertEqual(told, [])

    def open(self, path: str) -> None:
        self.browser.get(self.live_server_url + path)

    def all(self, selector: str) -> list[Any]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> Any:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def wait(self, condition: Any, seconds: float = 10.0) -> Any:
        return WebDriverWait(self.browser, seconds, 0.05, [Exception]).until(lambda _: condition())

    def js(self, text: str) -> Any:
        return self.browser.execute_script(f"return {text}")

    def shoot(self, name: str) -> None:
        chromium.shoot(self.browser, SHOTS, name)

    def lines(self) -> list[str]:
        return self.js("Array.from(document.querySelectorAll('.tl-line bdi'), line => line.innerText)")

    def is_visible(self, selector: str) -> bool:
        """In the log's own window."""
        return self.js(f"""(() => {{
            const line = document.querySelector("{selector}").getBoundingClientRect();
            const log = document.querySelector("#tl-log").getBoundingClientRect();
            return line.top >= log.top - 1 && line.bottom <= log.bottom + 1; }})()""")

    def write(self, run: TaskRun, count: int, **values: Any) -> None:
        """As tasklog does while the task runs and when it ends."""
        log = "\n".join(stamped(f"Step {number}: table_{number}", number) for number in range(1, count + 1))
        TaskRun.objects.filter(pk=run.pk).update(log=log, lines=count, processed=count,
                                                 updated_at=datetime.now(timezone.utc), **values)

    def test_a_running_task_is_followed_to_its_end(self) -> None:
        run = add_run(kind="table_comments", task_id="run-42", status="RUNNING", end_time=None, duration=None,
                      complete=False, summary="", end_reason="", total=130, failed=0,
                      start_time=datetime.now(timezone.utc) - timedelta(seconds=40))
        self.write(run, 60)
        self.open("/admin/tasklog/taskrun/")
        self.assertEqual(self.one("progress").get_property("value"), 60)
        self.assertIn("60 of 130", self.one(".field-progress").text)
        self.shoot("list-running")
        self.browser.find_element(By.LINK_TEXT, "run-42").click()
        self.wait(lambda: self.all("#L60"))
        self.browser.execute_script("window.was_not_reloaded = true")
        self.assertTrue(self.is_visible("#L60"))

        self.write(run, 70)
        self.wait(lambda: self.all("#L70"))
        self.assertTrue(self.is_visible("#L70"))
        self.assertEqual(len(self.all(".tl-line")), 70)
        self.assertEqual(self.one("progress").get_property("value"), 70)
        self.shoot("running")

        # Who scrolls up reads in peace, and is told that the task has ended.
        self.browser.execute_script("document.querySelector('#tl-log').scrollTop = 100")
        self.wait(lambda: self.one("#tl-follow").get_attribute("aria-pressed") == "false")
        self.write(run, 90)
        self.wait(lambda: self.one("progress").get_property("value") == 90)
        self.assertEqual(self.js("document.querySelector('#tl-log').scrollTop"), 100)
        self.assertFalse(self.all("#L90"))

        self.one("#tl-follow").click()
        self.wait(lambda: self.all("#L90"))
        self.wait(lambda: self.is_visible("#L90"))

        self.write(run, 130, status="COMPLETED", end_time=datetime.now(timezone.utc), duration=47.0, complete=True,
                   end_reason="marker", summary="Completed: 130 successful, 0 failed, Total time: 47s")
        self.wait(lambda: self.all("#L130"))
        self.wait(lambda: self.one("#tl-head .tl-badge").text == "Completed")
        self.assertIn("130 successful", self.one("#tl-head").text)
        self.assertEqual(self.one("#tl-status").get_property("textContent"), "The task has ended: COMPLETED.")
        self.assertFalse(self.one("#tl-follow").is_displayed())
        self.assertEqual(len(self.all(".tl-line")), 130)
        self.assertTrue(self.js("window.was_not_reloaded"))

    def test_a_failed_run_is_found_read_and_downloaded(self) -> None:
        for number in range(30):
            add_run(task_id=f"good-{number}")
        lines = [stamped(f"Step {number}") for number in range(1, 7001)]
        lines[2999] = stamped("ERROR: permission denied for table orders") + "\nTraceback (most recent call last):" \
            '\n  File "import.py", line 3\nPermissionError: orders'
        lines[3100] = stamped("WARNING: slow disk")
        lines[6999] = stamped("Failed: 7000 lines, 1 warning, 1 error, Total time: 3s")
        add_run(task_id="bad-7", status="FAILED", errors=1, warnings=1, lines=7000, log="\n".join(lines),
                first_error="permission denied for table orders", summary=lines[6999].partition("] ")[2])

        self.open("/admin/tasklog/taskrun/")
        self.browser.find_element(By.PARTIAL_LINK_TEXT, "FAILED").click()
        self.wait(lambda: len(self.all("#result_list tbody tr")) == 1)
        self.open("/admin/tasklog/taskrun/")
        self.one("#searchbar").send_keys("bad-7")
        self.one("#changelist-search [type=submit]").click()
        self.wait(lambda: len(self.all("#result_list tbody tr")) == 1)
        self.browser.find_element(By.LINK_TEXT, "bad-7").click()

        self.wait(lambda: self.all("#L7003"))
        self.assertTrue(self.is_visible("#L7003"))
        self.assertFalse(self.all("#L1"))
        self.one(".tl-first-error a").click()
        self.wait(lambda: self.browser.current_url.endswith("?line=3000#L3000"))
        self.wait(lambda: self.is_visible("#L3000"))
        self.assertEqual(self.js("document.querySelector('.tl-line:target').id"), "L3000")
        self.assertIn("tl-error", self.one("#L3003").get_attribute("class"))
        self.shoot("failed")

        # A line can be linked to, and the part that has it is loaded.
        self.one("#L3001 .tl-number").click()
        self.assertTrue(self.browser.current_url.endswith("#L3001"))
        page = re.sub(r"\?.*", "", self.browser.current_url)
        self.browser.get("about:blank")
        self.browser.get(page + "#L17")
        self.wait(lambda: self.is_visible("#L17"))

        # Earlier and later parts come without a reload, and what is read stays where it is.
        self.browser.get("about:blank")
        self.browser.get(page)
        self.browser.execute_script("window.was_not_reloaded = true;"
                                    "document.querySelector('#tl-log').scrollTop = 0")
        first = self.one(".tl-line").get_attribute("id")
        self.one("#tl-earlier").click()
        self.wait(lambda: self.all("#L1"))
        self.assertTrue(self.js("window.was_not_reloaded"))
        self.assertTrue(self.is_visible(f"#{first}"))
        self.assertEqual(self.js("document.querySelectorAll('.tl-line').length"), 7003)
        self.assertEqual(self.js("new Set(Array.from(document.querySelectorAll('.tl-line'), e => e.id)).size"), 7003)
        self.assertFalse(self.all("#tl-earlier"))
        self.browser.get(page + "?after=0")
        self.one("#tl-later").click()
        self.wait(lambda: self.all("#L7003"))

        self.one("#tl-q").send_keys("disk")
        self.one(".tl-tools [type=submit]").click()
        self.wait(lambda: self.lines() == [stamped("WARNING: slow disk")])
        self.assertEqual(self.one("mark").text, "disk")
        self.one(".tl-number").click()
        self.wait(lambda: self.is_visible("#L3104"))
        Select(self.one("#tl-level")).select_by_value("error")
        self.one(".tl-tools [type=submit]").click()
        self.wait(lambda: len(self.lines()) == 4)
        self.shoot("filtered")

        for link, name, size in (("$='/download/'", "import-bad-7-20261124T103107.log", len("\n".join(lines))),
                                 ("*='level=error'", "import-bad-7-20261124T103107-filtered.log",
                                  len(lines[2999] + "\n"))):
            self.one(f".object-tools a[href{link}]").click()
            path = self.downloads / name
            self.wait(path.exists)
            self.assertEqual(path.stat().st_size, size)

    def test_hostile_text_is_text(self) -> None:
        run = add_run(kind=HOSTILE[:40], task_id=HOSTILE, log="\n".join([stamped(HOSTILE), stamped("ERROR: a\tb")]),
                      first_error=HOSTILE, summary=HOSTILE, status="FAILED", errors=1)
        self.open("/admin/tasklog/taskrun/")
        self.assertIn("<script>", self.one(".field-shown_task_id").text)
        self.shoot("list-hostile")
        self.open(f"/admin/tasklog/taskrun/{run.pk}/change/")
        self.assertEqual(self.lines()[0], stamped("<script>document.title='owned'</script> \\x1b[31mred\\x1b[0m"
                                                  " ⟨U+202E⟩gnp.exe"))
        self.assertNotEqual(self.browser.title, "owned")
        self.shoot("hostile")

    def test_the_page_of_another_model_shows_its_runs_and_log(self) -> None:
        row = SqlDb.objects.create(name="orders", table_comment_status="FAILED", table_comment_task_id="run-3",
                                   table_comment_log="\n".join([stamped("begun"), stamped("ERROR: bad")]))
        for number in range(3):
            add_run(task_id=f"run-{number}", content_object=row, status=("COMPLETED", "RUNNING", "FAILED")[number])
        self.open(f"/admin/tests/sqldb/{row.pk}/change/")
        self.assertEqual(len(self.all(".tl-runs tbody tr")), 3)
        self.browser.set_window_size(1280, 1500)
        self.shoot("mixin")
        self.browser.set_window_size(1280, 1000)

    def seconds_to_open(self, path: str) -> float:
        self.browser.get("about:blank")
        began = time.monotonic()
        self.open(path)
        return time.monotonic() - began

    def test_a_log_of_50_mb_opens_in_a_second(self) -> None:
        line = stamped("Step number one of many, with some text to make it as long as lines are") + "\n"
        log = line * (50 * 1024 * 1024 // len(line)) + stamped("the end")
        run = add_run(log=log, bytes=len(log))
        page = f"/admin/tasklog/taskrun/{run.pk}/change/"
        self.open("/admin/tasklog/taskrun/")
        # Where new memory is very slow (some virtual machines: 0.2 s to copy this text, not 0.01), it cannot be one.
        most = max(1.0, 20 * min(seconds_to_copy(log) for _ in range(3)))
        for query in ("", "?line=200000#L200000"):
            self.assertLess(min(self.seconds_to_open(page + query) for _ in range(3)), most)
            self.assertLess(self.js("document.documentElement.outerHTML.length"), 3_000_000)
        self.assertTrue(self.is_visible("#L200000"))
