"""How old a figure may be before it is marked."""

import calendar
from datetime import date

#: Days after which a price is past its shelf life.
SHELF_DAYS = 120


def latest_day(as_of: str) -> date:
    """The last day that a date as exactly as known can mean: of its month or its year, where no day is given."""
    parts = [int(part) for part in as_of.split("-")]
    year, month = parts[0], parts[1] if len(parts) > 1 else 12
    return date(year, month, parts[2] if len(parts) > 2 else calendar.monthrange(year, month)[1])


def is_stale(as_of: str, on: date) -> bool:
    """Whether a price of `as_of` is past its shelf life on a day, even if it was read as late as its date allows."""
    return (on - latest_day(as_of)).days > SHELF_DAYS
