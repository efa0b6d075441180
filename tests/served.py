"""Commands run in forks of one process that has imported what they need, as the press runs its chapters: for a small book
imports are two thirds of the time."""

import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

SERVER = """
import json, os, sys
import jupyter_book.sphinx, bookpress.__main__, bookpress.page, bookpress.render, bookpress.report, bookpress.rerun
import bookpress.stage, bookpress.twin, costpertoken.cli
from bookpress.schedule import warm

warm()
commands = {"bookpress": bookpress.__main__.main, "costpertoken": costpertoken.cli.main}
for line in sys.stdin:
    words, folder, surroundings, said = json.loads(line)
    if child := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    for stream, name in enumerate(said, start=1):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT), stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(surroundings)
    sys.argv = words
    sys.exit(commands[words[0]]())
"""


@cache
def _server() -> subprocess.Popen:
    """The process that serves; it ends when its input does."""
    return subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def alone(*words: str, cwd: Path) -> subprocess.CompletedProcess:
    """A command in a process of its own, as a user runs it."""
    command = [Path(sys.executable).with_name(words[0]), *words[1:]]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120)


def served(*words: str, cwd: Path) -> subprocess.CompletedProcess:
    """The same from a fork; where forks are not safe, alone."""
    if sys.platform != "linux":
        return alone(*words, cwd=cwd)
    server = _server()
    with tempfile.TemporaryDirectory() as aside:
        said = [f"{aside}/stdout", f"{aside}/stderr"]
        server.stdin.write(json.dumps([words, str(cwd), dict(os.environ), said]) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        return subprocess.CompletedProcess(words, code, *(Path(path).read_text("utf8") for path in said))
