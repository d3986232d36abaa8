#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes text_repair.txt: bytes and the text that Python makes of them with errors="replace".

Python follows Unicode's practice: one U+FFFD for each maximal subpart of an ill-formed sequence. Its only
difference from what is wanted here is NUL, which no text field of PostgreSQL takes."""

import itertools

EDGES = bytes.fromhex("00 41 7f 80 8f 90 9f a0 bf c1 c2 df e0 e1 ed ef f0 f1 f3 f4 f5 ff")


def inputs():
    yield from (bytes([byte]) for byte in range(256))
    yield from (bytes(pair) for pair in itertools.product(EDGES, EDGES))
    yield from map(bytes, itertools.product(b"\xe0\xe1\xed\xef\xf0\xf1\xf4", b"A\x80\x8f\x90\x9f\xa0\xbf",
                                            b"\0A\x80\xbf\xc3"))
    yield from map(bytes, itertools.product(b"\xf0\xf1\xf4", b"\x80\x8f\x90\xbf", b"A\x80\xbf", b"A\x80\xbf\xe2"))
    # Long good text before, between and after: words of eight bytes are looked at in one go.
    for length in range(10):
        yield b"x" * length + b"\xe2\x82" + b"y" * 9 + b"\x80" + b"\xe2\x82\xac" * length


print("# SPDX-License-Identifier: Apache-2.0")
print("# bytes, then the text they become; made by text_repair.py")
for data in inputs():
    print(data.hex(), data.decode("utf-8", "replace").replace("\0", "\ufffd").encode().hex())
