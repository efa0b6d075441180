"""The only reader of the book's data: tables of data/ in, checked records out, and the sources behind them."""

from costpertoken.tables.constants import convention, efficiency, engine_family, formats, positions
from costpertoken.tables.prices import list_price_ratio, price, price_rows, sources
from costpertoken.tables.read import data_date, data_dir, ids, nearest, read
from costpertoken.tables.records import accelerator, model, native_precision, precision, source

__all__ = [
    "accelerator", "convention", "data_date", "data_dir", "efficiency", "engine_family", "formats", "ids", "list_price_ratio",
    "model", "native_precision", "nearest", "positions", "precision", "price", "price_rows", "read", "source", "sources",
]  # fmt: skip
