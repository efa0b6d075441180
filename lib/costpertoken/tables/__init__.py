"""The only reader of the book's data: tables of data/ in, checked records out, and the sources behind them."""

from costpertoken.tables.constants import convention, efficiency, engine_family, formats, maker, positions
from costpertoken.tables.deploy import deployment, headline_price
from costpertoken.tables.prices import list_price_ratio, price, price_rows, sources
from costpertoken.tables.read import data_date, data_dir, ids, nearest, of_tables, read
from costpertoken.tables.records import accelerator, model, native_precision, precision, source
from costpertoken.tables.shelf import SHELF_DAYS, is_stale

__all__ = [
    "SHELF_DAYS", "accelerator", "convention", "data_date", "data_dir", "deployment", "efficiency", "engine_family",
    "formats", "headline_price", "ids", "is_stale", "list_price_ratio", "maker", "model", "native_precision", "nearest",
    "of_tables", "positions", "precision", "price", "price_rows", "read", "source", "sources",
]  # fmt: skip
