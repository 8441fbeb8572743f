"""A headless Chromium to open pages in, click and look: its debugging protocol over two pipes, with the standard library alone.

with Browser() as browser:
    browser.open(path)
    browser.click("#n-wrong")
    assert browser.run("document.title") == "…"
    browser.screenshot("page.png")
"""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE_S = 240  # a busy machine takes long to start a browser
KEYS = {"ArrowDown": 40, "ArrowUp": 38, "Tab": 9, "Enter": 13, "Home": 36, "End": 35, " ": 32}


def find_browser() -> Optional[str]:
    """The browser's program, None where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser:
    """One page in a headless browser; ``problems`` collects errors of scripts and refusals of the page's policy."""

    def __init__(self, width: int = 1280, height: int = 900):
        self.size = width, height
        self.problems: List[str] = []
        self.requests: List[str] = []
        self.number, self.buffer = 0, b""

    def __enter__(self) -> "Browser":
        program = find_browser()
        assert program is not None
        self.profile = tempfile.mkdtemp(prefix="report-browser-")
        here, there = os.pipe(), os.pipe()  # the browser reads from 3 and writes to 4
        command = (
            f'exec 3<&{here[0]} 4>&{there[1]}; exec "$0" --headless --no-sandbox --disable-gpu --remote-debugging-pipe '
            '--hide-scrollbars --no-first-run --user-data-dir="$1" about:blank'
        )
        self.process = subprocess.Popen(
            ["bash", "-c", command, program, self.profile],
            pass_fds=(here[0], there[1]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(here[0])
        os.close(there[1])
        self.to, self.back = here[1], there[0]
        self.session: Optional[str] = None
        pages = self.call("Target.getTargets")["targetInfos"]
        target = next(page["targetId"] for page in pages if page["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.resize(*self.size)
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.to)
        os.close(self.back)
        shutil.rmtree(self.profile, ignore_errors=True)

    def call(self, method: str, **params: Any) -> Dict[str, Any]:
        """Send one command and wait for its answer."""
        self.number += 1
        message: Dict[str, Any] = {"id": self.number, "method": method, "params": params}
        if self.session is not None:
            message["sessionId"] = self.session
        sent = json.dumps(message).encode() + b"\0"
        while sent:
            sent = sent[os.write(self.to, sent) :]
        while True:
            answer = self._next()
            if answer.get("id") == self.number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def _next(self) -> Dict[str, Any]:
        """The next message; what the page complains about is kept."""
        ends = time.monotonic() + PATIENCE_S
        while b"\0" not in self.buffer:
            assert time.monotonic() < ends, "the browser does not answer"
            part = os.read(self.back, 1 << 16)
            assert part, "the browser has ended"
            self.buffer += part
        raw, _, self.buffer = self.buffer.partition(b"\0")
        message = json.loads(raw)
        method, params = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.problems.append(params["exceptionDetails"]["exception"].get("description", "an exception"))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.problems.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        return message

    def resize(self, width: int, height: int, mobile: bool = False) -> None:
        """The size of the window in CSS pixels; ``mobile`` as a telephone lays pages out."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def scheme(self, name: str) -> None:
        """``light`` or ``dark``, as the system asks for."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def open(self, path: Path) -> None:
        """Open a file and wait until it is loaded."""
        self.problems.clear()
        self.requests.clear()
        self.call("Page.navigate", url=Path(path).resolve().as_uri())
        ends = time.monotonic() + PATIENCE_S
        while self.run("document.readyState + location.protocol") != "completefile:":
            assert time.monotonic() < ends, f"{path} does not load"
            time.sleep(0.02)

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression, as JSON; the page's own policy does not bind it."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def text(self, selector: str) -> str:
        """What a reader sees of the first element that fits, as text."""
        return self.run(f"document.querySelector({json.dumps(selector)}).innerText")

    def count(self, selector: str) -> int:
        """How many elements fit."""
        return self.run(f"document.querySelectorAll({json.dumps(selector)}).length")

    def click(self, selector: str, place: int = 0) -> None:
        """Press and release the mouse in the middle of an element, after scrolling to it."""
        found = f"document.querySelectorAll({json.dumps(selector)})[{place}]"
        self.run(f"{found}.scrollIntoView({{block: 'center'}})")
        box = self.run(
            f"(() => {{ const b = {found}.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2] }})()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def press(self, *keys: str) -> None:
        """Press keys by name, one after the other."""
        for key in keys:
            more = {"text": "\r" if key == "Enter" else key} if key in ("Enter", " ") else {}
            for kind in ("keyDown", "keyUp"):
                self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=KEYS[key], **more)

    def type(self, text: str) -> None:
        """Type into whatever has the focus."""
        self.call("Input.insertText", text=text)

    def choose(self, selector: str, value: str) -> None:
        """Choose an option of a ``<select>`` by its value."""
        element = f"document.querySelector({json.dumps(selector)})"
        self.run(
            f"{element}.value = {json.dumps(value)}; {element}.dispatchEvent(new Event('change', {{bubbles: true}}))"
        )

    def screenshot(self, path: Path, selector: Optional[str] = None) -> None:
        """A picture of the window, or of one element in full height."""
        more: Dict[str, Any] = {}
        if selector is not None:
            self.run("scrollTo(0, 0)")
            box = self.run(
                f"(() => {{ const b = document.querySelector({json.dumps(selector)}).getBoundingClientRect(); "
                "return {x: b.x, y: b.y + scrollY, width: b.width, height: b.height} })()"
            )
            more = {"clip": {**box, "scale": 1}, "captureBeyondViewport": True}
        Path(path).write_bytes(base64.b64decode(self.call("Page.captureScreenshot", **more)["data"]))
