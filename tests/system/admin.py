#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a person does in a browser after docs/first-setup.md: logs in to the admin, over HTTP, as that page tells, finds a
task's run in the list and opens it. The arguments are the task's id and what its page must show."""
from __future__ import annotations

import html
import http.cookiejar
import re
import sys
import time
import urllib.parse
import urllib.request

SITE = "http://127.0.0.1:8000"
RUNS = "/admin/tasklog/taskrun/"
SECONDS = 40
browser = urllib.request.build_opener(urllib.request.ProxyHandler({}),
                                      urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))


def get(url: str, **form: str) -> str:
    data = urllib.parse.urlencode(form).encode() if form else None
    return browser.open(urllib.request.Request(SITE + url, data, {"Referer": SITE + url}), timeout=20).read().decode()


def first_page(url: str) -> str:
    """The site may have been started just now."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            return get(url)
        except OSError as error:
            if time.monotonic() > deadline:
                sys.exit(f"the admin does not answer: {error}")
            time.sleep(0.1)


def main(task: str, *texts: str) -> None:
    login = f"/admin/login/?next={RUNS}"
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', first_page(login))
    if not token:
        sys.exit("that is no form to log in with")
    runs = get(login, csrfmiddlewaretoken=token[1], username="admin", password="choose-a-better-one", next=RUNS)
    row = next((row for row in re.findall(r"<tr\b.*?</tr>", runs, re.DOTALL) if f">{task}<" in row), "")
    link = re.search(rf'href="({RUNS}\d+/[^"]*)"', row)
    if not link:
        sys.exit(f"the admin does not list the run:\n{runs}")
    page = html.unescape(get(html.unescape(link[1])))
    missing = [text for text in texts if text not in page]
    if missing:
        sys.exit(f"the admin does not show {missing}:\n{page}")


if __name__ == "__main__":
    main(*sys.argv[1:])
