# SPDX-License-Identifier: Apache-2.0
"""A Chromium without a window, and pictures of its page in light and dark. Needs no Django."""
from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

DRIVER = shutil.which("chromedriver")


def start(*arguments: str, **preferences: Any) -> webdriver.Chrome:
    """What the page says on its console is kept, see Chrome.get_log("browser")."""
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--lang=en", *arguments):
        options.add_argument(argument)
    options.add_experimental_option("prefs", preferences)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(service=Service(DRIVER), options=options)


def shoot(browser: webdriver.Chrome, folder: Path, name: str) -> None:
    """NAME-light.png and NAME-dark.png."""
    for scheme in ("light", "dark"):
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {
            "features": [{"name": "prefers-color-scheme", "value": scheme}]})
        time.sleep(0.4)  # the admin's links change their colour slowly
        browser.save_screenshot(str(folder / f"{name}-{scheme}.png"))
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
