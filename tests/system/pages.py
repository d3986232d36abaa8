# SPDX-License-Identifier: Apache-2.0
"""What a page of the documentation asks its reader to do: its fenced blocks, in order.

    ```sh               commands; each block is one shell, in the source tree, and must succeed
    ```text             a picture, or a form that is no command
    ```console          commands behind "$ ", each with the output that it must show below it
    anything else       a file's content: the comment before it says which file

A comment on a line before a block says more of it:

    <!-- file: PATH -->         the block is that file; <!-- add to: PATH --> it goes to its end
    <!-- way: WAY -->           it is for one of two ways: "by hand", from the source tree, or "packages"
    <!-- not run: REASON -->    the test cannot run it
    <!-- soon -->               what is shown comes within seconds: commands are repeated until then
    <!-- stays -->              the command runs on, until the page is done
    <!-- ends with N -->        the last command's exit status

and one at the top of the page what is there already: <!-- after: PAGE.md --> that page was followed before,
<!-- machine: postgresql --> there is a PostgreSQL. In shown output `…` stands for any text, alone in a line for
any lines; a date and time stands for any other, and so does a number of milliseconds.
"""
from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
WORDS = ("file", "add to", "way", "not run", "soon", "stays", "ends with")
WAYS = ("by hand", "packages")
COMMENT = re.compile(r"^<!-- ([a-z ]+?)(?:: (.*?)| (\d+))? -->$")
FENCE = re.compile(r"^```([a-z]*)$")
TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?")


class PageError(AssertionError):
    """The page is not written as the test can read it."""


@dataclass
class Block:
    page: str
    line: int
    language: str
    text: str
    marks: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    def runs(self, way: str) -> bool:
        """Does who goes this way run it?"""
        return "not run" not in self.marks and self.language != "text" and self.marks.get("way", way) == way

    def commands(self) -> list[tuple[str, str]]:
        """Of a console: each command, and what it shows."""
        found: list[tuple[str, list[str]]] = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif found and found[-1][0].endswith(("\\", "|")):
                found[-1] = (f"{found[-1][0]}\n{line.removeprefix('> ')}", [])
            elif found:
                found[-1][1].append(line)
            else:
                raise PageError(f"{self}: a console begins with \"$ \"")
        return [(command, "\n".join(shown)) for command, shown in found]


def pages() -> list[Path]:
    return [REPO / "README.md", *sorted((REPO / "docs").glob("*.md"))]


def read(path: Path) -> tuple[dict[str, str], list[Block]]:
    """The marks at the top of a page, and its blocks."""
    top: dict[str, str] = {}
    marks: dict[str, str] = {}
    blocks: list[Block] = []
    lines = path.read_text().splitlines()
    at = 0
    while at < len(lines):
        comment, fence = COMMENT.match(lines[at]), FENCE.match(lines[at])
        if comment and comment[1] in WORDS:
            marks[comment[1]] = comment[2] or comment[3] or ""
        elif comment and comment[1] in ("after", "machine"):
            top[comment[1]] = comment[2]
        elif lines[at].startswith("<!--"):
            raise PageError(f"{path.name}:{at + 1}: a comment that nobody reads: {lines[at]}")
        elif fence:
            end = next((i for i in range(at + 1, len(lines)) if lines[i] == "```"), None)
            if end is None:
                raise PageError(f"{path.name}:{at + 1}: the block has no end")
            blocks.append(Block(path.name, at + 1, fence[1], "\n".join(lines[at + 1:end]) + "\n", marks))
            check(blocks[-1])
            marks, at = {}, end
        elif lines[at].lstrip().startswith("```"):
            raise PageError(f"{path.name}:{at + 1}: a fence that is none")
        elif re.match(r"^(    |\t)", lines[at]) and (at == 0 or not lines[at - 1].strip()):
            raise PageError(f"{path.name}:{at + 1}: an indented block, which no test would see")
        elif lines[at].strip() and marks:
            raise PageError(f"{path.name}:{at + 1}: a comment for a block, and no block behind it")
        at += 1
    return top, blocks


def check(block: Block) -> None:
    writes = "file" in block.marks or "add to" in block.marks
    if block.marks.get("way", WAYS[0]) not in WAYS:
        raise PageError(f"{block}: the ways are {' and '.join(WAYS)}")
    if "not run" in block.marks:
        if len(block.marks["not run"]) < 10:
            raise PageError(f"{block}: why is it not run?")
    elif block.language == "text":
        if re.search(r"(?m)^(?:[$#] |sudo |make|logger )", block.text):
            raise PageError(f"{block}: a text with commands in it")
    elif block.language in ("sh", "console"):
        if writes:
            raise PageError(f"{block}: commands are run, not written into a file")
    elif not writes:
        raise PageError(f"{block}: nobody knows what to do with this block: it is neither sh nor console, and no"
                        " comment says which file it is")


def shows(expected: str, found: str) -> bool:
    """Is the output that the page shows the one that came?"""
    pattern = ""
    for line in expected.rstrip("\n").split("\n"):
        if line.strip() == "…":
            pattern += r"(?:[^\n]*\n)*?"
            continue
        parts = [TIME.pattern.join(re.escape(rest) for rest in TIME.split(part)) for part in line.split("…")]
        text = re.sub(r"(?:\\ )+$", "", r"[^\n]*".join(parts))
        pattern += re.sub(r"\d+\\ ms", r"\\d+\\ ms", text) + r"[ ]*\n"
    return re.fullmatch(pattern, found.rstrip("\n") + "\n") is not None
