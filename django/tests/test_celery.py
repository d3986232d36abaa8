# SPDX-License-Identifier: Apache-2.0
"""Celery's signals, as tasks that run in this process send them, and those of its main process."""
from __future__ import annotations

import logging
import warnings
from types import SimpleNamespace
from typing import Any

with warnings.catch_warnings():  # of Debian's Celery, about Python's own
    warnings.simplefilter("ignore")
    from celery import Celery, signals
    from celery.utils.log import get_task_logger

from tasklog import celery, client

from .test_client import ClientTest

app = Celery("shop", broker="memory://", backend="cache+memory://")
task_logger = get_task_logger("warehouse.orders")
library = logging.getLogger("some.library")


@app.task(bind=True, name="shop.tasks.import_orders", max_retries=2)
def import_orders(self: Any, path: str, fail: int = 0) -> str:
    task_logger.info("reading %s", path)
    library.warning("slow")
    if self.request.retries < fail:
        raise self.retry(countdown=0, exc=OSError("busy"), throw=True)
    if path == "bad":
        raise ValueError("bad is not a CSV file")
    return path


class CeleryTest(ClientTest):
    def setUp(self) -> None:
        super().setUp()
        celery.connect({"shop.tasks.import_orders": "import_orders", "unlogged": None},
                       address=self.reader.path)
        root = logging.getLogger()
        before = root.level
        root.setLevel(logging.INFO)
        celery._add_handler(root)
        celery._add_handler(root)
        ours = [handler for handler in root.handlers if isinstance(handler, client.TaskHandler)]
        self.assertEqual(len(ours), 1)
        self.addCleanup(root.setLevel, before)
        self.addCleanup(root.removeHandler, ours[0])

    def run_task(self, *args: object, **kwargs: object) -> list[bytes]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import_orders.apply(args, kwargs, task_id="run-42")
        self.assertEqual(celery._open, {})
        self.assertIsNone(client.current())
        found = self.reader.datagrams()
        tag = b"[run-42]: "
        self.assertTrue(all(datagram.partition(tag)[0].endswith(b">import_orders")
                            for datagram in found))
        return [datagram.partition(tag)[2] for datagram in found]

    def test_a_task(self) -> None:
        self.assertEqual(self.run_task("a.csv"), [b"@task start", b"reading a.csv", b"slow", b"@task end"])

    def test_a_task_that_fails(self) -> None:
        texts = self.run_task("bad")
        self.assertEqual(texts[1:3], [b"reading bad", b"slow"])
        self.assertRegex(texts[3], b"(?s)^ValueError: bad is not a CSV file\nTraceback ")
        self.assertEqual(texts[4:], [b"@task end status=FAILED"])

    def test_a_retry_goes_on_in_the_same_log(self) -> None:
        texts = self.run_task("a.csv", fail=1)
        self.assertEqual(texts.count(b"@task start"), 1)
        self.assertEqual(texts.count(b"reading a.csv"), 2)
        self.assertTrue(any(text.startswith(b"Retry 1: ") for text in texts))
        self.assertEqual([text for text in texts if b"@task end" in text], [b"@task end"])

    def test_a_worker_that_was_lost(self) -> None:
        signals.task_failure.send(sender=import_orders, task_id="run-42",
                                  exception=RuntimeError("Worker exited prematurely"))
        self.assertEqual(self.reader.lines(), [(3, "RuntimeError: Worker exited prematurely"),
                                               (6, "@task end status=FAILED")])

    def test_a_task_that_was_revoked_while_it_ran(self) -> None:
        for terminated in (False, True):
            signals.task_revoked.send(sender=import_orders, request=SimpleNamespace(id="run-42"),
                                      terminated=terminated, signum=15, expired=False)
        self.assertEqual(self.reader.texts(), ['@task end status=FAILED text="The task was revoked"'])

    def test_kinds(self) -> None:
        self.assertIsNone(celery.kind_of("unlogged"))
        self.assertEqual(celery.kind_of("shop.other"), "shop.other")
        self.assertEqual(celery.kind_of("x" * 60 + " last"), "x" * 43 + "_last")
        celery.connect(lambda name: name.rpartition(".")[2], address=self.reader.path)
        self.assertEqual(celery.kind_of("shop.tasks.import_orders"), "import_orders")
