# SPDX-License-Identifier: Apache-2.0
"""Bars in SVG, without a library."""
from __future__ import annotations

from html import escape
from pathlib import Path

ROW, LEFT, WIDTH = 22, 330, 960


def write(path: Path, bars: list[tuple[str, float]]) -> None:
    """Name and messages a second of each."""
    most = max((value for _, value in bars), default=1.0)
    height = ROW * len(bars) + 50
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif"'
             f' font-size="13"><rect width="100%" height="100%" fill="white"/>'
             f'<text x="10" y="24" font-size="15">Messages a second, until the last row is committed</text>']
    for number, (name, value) in enumerate(bars):
        y = 40 + number * ROW
        bar = max(1.0, (WIDTH - LEFT - 110) * value / most)
        colour = "#2a6f97" if "tasklog" in name else "#adb5bd"
        parts.append(f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>'
                     f'<rect x="{LEFT}" y="{y}" width="{bar:.1f}" height="{ROW - 6}" fill="{colour}"/>'
                     f'<text x="{LEFT + bar + 6:.1f}" y="{y + 13}">{value:,.0f}</text>')
    path.write_text("\n".join([*parts, "</svg>"]) + "\n")
