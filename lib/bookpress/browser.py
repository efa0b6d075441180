"""Chromium for the browser tests: where it is, or how to get it."""

import os
import shutil
import subprocess
from pathlib import Path

from bookpress.project import PressError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HELP = "install Chromium (Debian, Ubuntu: apt-get install chromium) or name one: CHROMIUM=/path/to/chromium"


def runs(path: str) -> bool:
    """Whether this browser starts: some systems put a stub on PATH that only asks to be installed."""
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def find_browser() -> str | None:
    """The browser named by CHROMIUM, else the first on PATH that runs."""
    named = os.environ.get("CHROMIUM")
    candidates = [named] if named else [path for name in NAMES if (path := shutil.which(name))]
    return next((path for path in candidates if runs(path)), None)


def install_browser() -> str:
    """Find Chromium, or install Debian's where that is possible; its path."""
    found = find_browser()
    if found:
        return found
    named = os.environ.get("CHROMIUM")
    if named:
        raise PressError(f"CHROMIUM={named} does not run")
    if os.geteuid() != 0 or not Path("/etc/debian_version").is_file():
        raise PressError(f"no Chromium found: {HELP}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "chromium"]):
        if subprocess.run(command, env=environment).returncode:
            raise PressError(f"{' '.join(command)} failed: {HELP}")
    return find_browser() or _missing()


def _missing() -> str:
    raise PressError(f"Chromium was installed but does not run: {HELP}")
