"""Look-ups in the accelerators' data sheets, shared by the chapters cheapest_accelerator, memory and rent_or_own."""

from costpertoken import tables
from costpertoken.evidence.claims import check
from costpertoken.model.records import InputError
from costpertoken.model.units import KILO


@check("accelerator-sheet")
def sheet(*, accelerator, column):
    """The figure of one column of data/accelerators.csv, in the unit that the column's name says; NaN where no sheet was read."""
    rows = tables.read("accelerators").set_index("id")
    tables.accelerator(accelerator)  # refuses an unknown id with the nearest ones
    if column not in rows.columns:
        raise InputError(f"data/accelerators.csv has no column {column!r}; nearest: {tables.nearest(column, rows.columns)}")
    return float(rows.at[accelerator, column])


@check("accelerator-bandwidth")
def bandwidth(*, accelerator):
    """Memory bandwidth of data/accelerators.csv in TB/s."""
    return sheet(accelerator=accelerator, column="memory_gb_s") / KILO
