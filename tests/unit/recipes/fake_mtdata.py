#!/usr/bin/env python3
"""A mtdata that does what a test wants: FAKE_MTDATA is a folder with one file an id, a behaviour a line; each call takes the first."""

import os
import sys
import time
from pathlib import Path

if "--version" in sys.argv:
    print("mtdata 0.0 (made up)")
    sys.exit(0)
echo = "echo" in sys.argv
name = sys.argv[-1] if echo else sys.argv[sys.argv.index("-tr") + 1]
folder = Path(os.environ["FAKE_MTDATA"])
with open(folder / "calls", "a") as calls:
    calls.write(f"{name}\n")
plan = folder / name
todo = plan.read_text().split() if plan.exists() else ["ok:40"]
if len(todo) > 1:
    plan.write_text("\n".join(todo[1:]))
what, _, number = todo[0].partition(":")
n = int(number or 40)
if what == "fail":
    print("AssertionError: 503", file=sys.stderr)
    sys.exit(1)
if echo:
    print("\n".join(f"a {'' if what != 'other' else 'new '}line of {name} {i}" for i in range(n)))
    sys.exit(0 if what in ("ok", "other") else 1)
parts = Path(sys.argv[sys.argv.index("-o") + 1]) / "train-parts"
parts.mkdir(parents=True)
sides = name.split("-")[3:]
for number, side in enumerate(sides):
    lines = n - 1 if what == "uneven" and number else n
    word = "there" if what == "other" and number else "here"
    text = "".join(f"{side} sentence number {i} of {name} is {word}\n" for i in range(lines))
    (parts / f"{name}.{side}").write_text(text)
    if what == "hang":
        (folder / "hangs").touch()
        time.sleep(60)
if what != "flagless":
    (parts / f".valid.{name}").touch()
