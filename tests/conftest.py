"""What all tests share: how references are compared, and that nothing is skipped unseen where all must run."""

import os
from pathlib import Path
from unittest.mock import patch

import pytest

try:
    from nbval.plugin import IPyNbFile
except ImportError:  # without the test extra the plain tests still run
    IPyNbFile = None

os.environ.pop("SITE_URL", None)  # tests that need an address make one up; the built site keeps the one it was given
KEPT = Path(__file__).parents[1] / "_build" / "kept"
COMPARED = {"data", "text", "text/plain", "ename", "evalue"}


class _AllBut:
    """What nbval skips: every key but a few, since the references keep plain text only."""

    def __contains__(self, key: str) -> bool:
        return key not in COMPARED


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path, parent):
    collected = yield
    for collector in collected:
        if IPyNbFile and isinstance(collector, IPyNbFile):
            collector.skip_compare = _AllBut()
    return collected


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    # A reference's kernel reads the verdicts that the book's chapters reached in this state of code and tables; the tests
    # of the claims themselves judge anew.
    if not (IPyNbFile and isinstance(item.parent, IPyNbFile)):
        return (yield)
    with patch.dict(os.environ, COSTPERTOKEN_KEPT=str(KEPT)):
        return (yield)


def _refuse_skip(report):
    # CI means that the browser is there: a skip would hide that no page was opened.
    if os.environ.get("CI") and report.skipped and "tests/site" in report.nodeid:
        report.outcome = "failed"
        report.longrepr = f"skipped, but with CI set it must run: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    return _refuse_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    return _refuse_skip((yield))
