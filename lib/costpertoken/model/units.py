"""Scale constants and the unit suffixes that names may end in.

Inside the library every quantity is in base units (bytes, seconds, FLOP, USD, watts, tokens); scaling happens where a
table is read and where a figure is shown.
"""

KILO, GIGA, TERA = 1e3, 1e9, 1e12
GB = 1e9
GIB = 2.0**30
MTOK = 1e6
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
DAYS_PER_YEAR = 365.0
HOURS_PER_YEAR = 24 * DAYS_PER_YEAR
MONTHS_PER_YEAR = 12
JOULES_PER_KWH = 3.6e6
BITS_PER_BYTE = 8

#: What a quantity's name may end in, and what that means. Bare ratios stand on the nomenclature page.
SUFFIXES = {
    "_bytes": "bytes",
    "_bytes_per_s": "bytes per second",
    "_bytes_per_token": "bytes per token of one sequence",
    "_flop": "floating-point operations, a multiply-add counted as two",
    "_flop_per_s": "floating-point operations per second",
    "_s": "seconds",
    "_w": "watts",
    "_joule": "joules",
    "_joule_per_token": "joules per token",
    "_usd": "US dollars",
    "_usd_per_hour": "US dollars per hour",
    "_usd_per_mtok": "US dollars per million tokens",
    "_tokens": "tokens",
    "_flop_per_token": "FLOP for each token",
    "_flop_per_pair": "FLOP for each pair of a query and a cached token",
    "_tok_per_s": "tokens per second",
    "_per_s": "events per second",
}
