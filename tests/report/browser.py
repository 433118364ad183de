"""Debian's headless Chromium through its ChromeDriver: the W3C WebDriver protocol, as far as the tests need it."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

MISSING = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
_OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-unsafe-swiftshader",
]
_TIMEOUT_SECONDS = 240


class Browser:
    """A page in a window of a given size."""

    def __init__(self, session_url: str) -> None:
        self._url = session_url

    def open(self, path: Path, width: int = 1280, height: int = 900) -> None:
        """Loads a file; the viewport gets the size, as a phone would have it."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.devtools("Emulation.setDeviceMetricsOverride", **metrics)
        _call(f"{self._url}/url", {"url": f"file://{Path(path).resolve()}"})

    def run(self, script: str):
        """The value of a function body."""
        return _call(f"{self._url}/execute/sync", {"script": script, "args": []})

    def devtools(self, command: str, **parameters):
        """The result of a command of the DevTools protocol."""
        return _call(f"{self._url}/goog/cdp/execute", {"cmd": command, "params": parameters})

    def screenshot(self, path: Path) -> None:
        """Saves what the window shows as PNG."""
        path.write_bytes(base64.b64decode(_call(f"{self._url}/screenshot")))

    def pdf(self) -> bytes:
        """The page as it prints."""
        return base64.b64decode(self.devtools("Page.printToPDF", preferCSSPageSize=True, printBackground=True)["data"])


@contextmanager
def browser(profile: Path):
    """A running browser with an empty profile; both processes end with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server, session = f"http://127.0.0.1:{port}", None
    try:
        _wait(server)
        options = {"binary": shutil.which("chromium"), "args": [*_OPTIONS, f"--user-data-dir={profile}"]}
        wanted = {"alwaysMatch": {"goog:chromeOptions": options}}
        session = f"{server}/session/" + _call(f"{server}/session", {"capabilities": wanted})["sessionId"]
        yield Browser(session)
    finally:
        if session is not None:
            _call(session, method="DELETE")
        driver.terminate()
        driver.wait()


def _wait(server: str) -> None:
    end = time.monotonic() + _TIMEOUT_SECONDS
    while time.monotonic() < end:
        try:
            if _call(f"{server}/status")["ready"]:
                return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("chromedriver does not answer")


def _call(url: str, body: dict | None = None, method: str | None = None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    # A proxy of the environment must not see requests to this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{url}: {error.read().decode(errors='replace')[:500]}") from error
