"""How old a price may be: dates that are known in part, and the days of its shelf life."""

from datetime import date, timedelta

import pytest

from costpertoken.tables.shelf import SHELF_DAYS, is_stale, latest_day


@pytest.mark.parametrize(
    ("as_of", "latest"),
    [
        ("2026-05-08", date(2026, 5, 8)),
        ("2026-02", date(2026, 2, 28)),
        ("2024-02", date(2024, 2, 29)),
        ("2026-11", date(2026, 11, 30)),
        ("2025", date(2025, 12, 31)),
    ],
)
def test_a_date_in_part_means_its_last_day(as_of, latest):
    assert latest_day(as_of) == latest
    assert not is_stale(as_of, latest + timedelta(days=120))
    assert is_stale(as_of, latest + timedelta(days=121))


def test_shelf_life_by_hand():
    assert SHELF_DAYS == 120
    assert not is_stale("2026-07-28", date(2026, 11, 25))  # 3 + 31 + 30 + 31 + 25 days
    assert is_stale("2026-07-27", date(2026, 11, 25))
    assert not is_stale("2026-11", date(2026, 11, 25))  # the month is not over


@pytest.mark.parametrize("wrong", ["2026-13", "2026-02-30", "soon"])
def test_what_is_no_date_is_refused(wrong):
    with pytest.raises(ValueError):
        latest_day(wrong)
