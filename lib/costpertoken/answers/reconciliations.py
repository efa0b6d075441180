"""Public accounts as exact tests: what is stated beside what the account's own figures give, within the printed digits."""

from collections.abc import Callable, Mapping
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.model.records import InputError, check_range
from costpertoken.model.units import DAY_S, GIGA, HOUR_S, KILO, MTOK
from costpertoken.money.cost import usd_per_mtok

#: The words of a line whose figures agree within the printed digits, and of one whose figures do not.
ADDS_UP = {True: "yes", False: "no"}


class Stated(NamedTuple):
    """A figure of an account and the ends of what its printed digits stand for; both are the value where it is exact."""

    value: float
    low: float
    high: float


def account(name: str) -> dict[str, Stated]:
    """The figures of a public account by quantity, in the units of data/accounts.csv."""
    return dict(_account(tables.data_dir(), name))


@cache
def _account(folder: Path, name: str) -> dict[str, Stated]:
    every = tables.read("accounts")
    rows = every[every["account"] == name]
    if rows.empty:
        raise InputError(f"no account {name!r} on record; on record: {', '.join(sorted(set(every['account'])))}")
    ends = rows[["low", "high"]].apply(lambda end: end.fillna(rows["value"]))
    figures = zip(rows["value"], ends["low"], ends["high"], strict=True)
    return {quantity: Stated(*figure) for quantity, figure in zip(rows["quantity"], figures, strict=True)}


def rows_used(*names: str) -> pd.DataFrame:
    """The rows of data/accounts.csv behind some accounts."""
    every = tables.read("accounts")
    return every[every["account"].isin(names)]


def span(formula: Callable[..., float], inputs: Mapping[str, Stated]) -> Stated:
    """A formula at its inputs' values, and its lowest and highest value at any choice of their ends.

    The ends are those of the formula for all inputs in their ranges, if it rises or falls steadily with each of them.
    """
    moved = {name: sorted({one.low, one.high}) for name, one in inputs.items()}
    found = [formula(**dict(zip(moved, ends, strict=True))) for ends in product(*moved.values())]
    return Stated(formula(**{name: one.value for name, one in inputs.items()}), min(found), max(found))


def agree(stated: Stated, computed: Stated) -> bool:
    """Whether what the printed digits of the statement stand for overlaps what those of its inputs lead to."""
    return computed.low <= stated.high and stated.low <= computed.high


def line(figure: str, unit: str, stated: Stated, computed: Stated) -> dict:
    """One reconciliation: figure, unit, stated, computed, low and high (computed), gap in % of the stated, adds_up."""
    gap = round(100 * (computed.value / stated.value - 1), 9) + 0.0
    ends = {"stated": stated.value, "computed": computed.value, "low": computed.low, "high": computed.high}
    return {"figure": figure, "unit": unit, **ends, "gap": gap, "adds_up": ADDS_UP[agree(stated, computed)]}


# ---- DeepSeek's day. Volumes in 10^9 tokens a day, rates in 10^3 tokens per second and node, as the account prints them.


def cost_usd(*, nodes, accelerators_per_node, usd_per_hour):
    """USD a day of nodes that are rented around the clock."""
    return nodes * accelerators_per_node * DAY_S / HOUR_S * usd_per_hour


def revenue_usd(
    *, input_tokens, cached_tokens, output_tokens, cached_usd_per_mtok, fresh_usd_per_mtok, output_usd_per_mtok
) -> dict[str, float]:
    """USD a day by class of token, from 10^9 tokens a day and USD per 10^6 tokens; the parts sum to the revenue."""
    scale = GIGA / MTOK
    return {
        "cached input": cached_tokens * scale * cached_usd_per_mtok,
        "fresh input": (input_tokens - cached_tokens) * scale * fresh_usd_per_mtok,
        "output": output_tokens * scale * output_usd_per_mtok,
    }


def profit_over_cost(*, revenue, cost):
    """Profit in % of cost, which the account calls its margin."""
    return 100 * (revenue / cost - 1)


def profit_over_revenue(*, revenue, cost):
    """Profit in % of revenue, which accountants call the margin."""
    return 100 * (1 - cost / revenue)


def nodes_for(*, tokens, tok_per_s):
    """Nodes that a day's tokens (10^9) keep busy around the clock at a rate (10^3 tokens per second and node)."""
    return tokens * GIGA / (tok_per_s * KILO * DAY_S)


def nodes_used(*, input_tokens, cached_tokens, output_tokens, prefill_tok_per_s, decode_tok_per_s, hits=True) -> dict[str, float]:
    """Mean nodes of each kind; hits: the rate of the prompts counts tokens that were found in the cache too."""
    read = input_tokens if hits else input_tokens - cached_tokens
    return {
        "prefill": nodes_for(tokens=read, tok_per_s=prefill_tok_per_s),
        "decode": nodes_for(tokens=output_tokens, tok_per_s=decode_tok_per_s),
    }


VOLUMES = ("input_tokens", "cached_tokens", "output_tokens")
PRICES = ("cached_usd_per_mtok", "fresh_usd_per_mtok", "output_usd_per_mtok")
NODES = (*VOLUMES, "prefill_tok_per_s", "decode_tok_per_s")


def day_lines(of: Mapping[str, Stated]) -> list[dict]:
    """The reconciliations of DeepSeek's day."""
    paid = {"nodes": of["mean_nodes"], **{name: of[name] for name in ("accelerators_per_node", "usd_per_hour")}}
    earned, sizes = {name: of[name] for name in (*VOLUMES, *PRICES)}, {name: of[name] for name in NODES}
    cost, revenue = span(cost_usd, paid), span(lambda **at: sum(revenue_usd(**at).values()), earned)
    cached = span(lambda part, whole: 100 * part / whole, {"part": of["cached_tokens"], "whole": of["input_tokens"]})
    both = span(lambda **at: sum(nodes_used(**at).values()), sizes)
    fresh = span(lambda **at: sum(nodes_used(**at, hits=False).values()), sizes)
    profit = span(profit_over_cost, {"revenue": revenue, "cost": cost})
    stated = span(profit_over_cost, {"revenue": of["revenue_usd"], "cost": of["cost_usd"]})
    return [
        line("Share of input from the cache", "%", of["cached_share"], cached),
        line("Cost", "USD/day", of["cost_usd"], cost),
        line("Revenue", "USD/day", of["revenue_usd"], revenue),
        line("Profit over cost, from nodes and tokens", "%", of["cost_profit_ratio"], profit),
        line("Profit over cost, from stated sums", "%", of["cost_profit_ratio"], stated),
        line("Nodes, rate with cache hits", "nodes", of["mean_nodes"], both),
        line("Nodes, rate without them", "nodes", of["mean_nodes"], fresh),
    ]


def your_day(
    of: Mapping[str, Stated], *, usd_per_hour, cached_share, output_usd, fresh_usd, paid_share=1.0, nodes=None, cached_usd=None
) -> dict[str, float]:
    """DeepSeek's day at other prices: revenue by class of token, cost by kind of node (USD a day), nodes, and profit over cost.

    cached_share: of the input; what is not cached is prefilled at the account's rate, hits cost nothing. paid_share: of the
    tokens. nodes: paid for on the mean, instead of the account's; cached_usd: instead of the account's, in USD per 10^6 tokens.
    """
    check_range("paid_share", paid_share, high=1.0, exclusive=True)
    at = {name: of[name].value for name in (*NODES, *PRICES, "mean_nodes", "accelerators_per_node")}
    before, read = at["cached_tokens"], at["input_tokens"]
    prices = {"fresh_usd_per_mtok": fresh_usd, "output_usd_per_mtok": output_usd}
    prices["cached_usd_per_mtok"] = at["cached_usd_per_mtok"] if cached_usd is None else cached_usd
    volumes = {"input_tokens": read, "cached_tokens": cached_share * read, "output_tokens": at["output_tokens"]}
    earned = {kind: paid_share * usd for kind, usd in revenue_usd(**volumes, **prices).items()}
    prefill = nodes_used(**{name: at[name] for name in NODES})["prefill"]
    mean = at["mean_nodes"] if nodes is None else nodes
    kept = prefill * (1 - cached_share) / (1 - before / read)
    split = {"prefill nodes": kept, "decode nodes": mean - prefill}
    rent = {"accelerators_per_node": at["accelerators_per_node"], "usd_per_hour": usd_per_hour}
    paid = {kind: cost_usd(nodes=n, **rent) for kind, n in split.items()}
    total = {"revenue": sum(earned.values()), "cost": sum(paid.values())}
    return {**earned, **paid, **total, "nodes": sum(split.values()), "profit": profit_over_cost(**total)}


def lengths(of: Mapping[str, Stated]) -> tuple[float, float]:
    """(input, output) tokens of the mean request: their ratio is that of the volumes, and the cache of an output token is
    the prompt and, in the mean, half of the answer. All requests are taken to be alike."""
    ratio = of["input_tokens"].value / of["output_tokens"].value
    output = of["context_tokens"].value / (ratio + 0.5)
    return ratio * output, output


# ---- NVIDIA


def nvidia_lines(of: Mapping[str, Stated], rack: Mapping[str, Stated]) -> list[dict]:
    """The reconciliations of NVIDIA's posts on the cost of a token."""

    def unit_cost(price, rate):
        return float(usd_per_mtok(usd_per_hour=price, tok_per_s=rate))

    def over(part, whole):
        return part / whole

    costs = {at: {"price": of[f"{at}_usd_per_hour"], "rate": of[f"{at}_tok_per_s"]} for at in ("old", "new")}
    rates = {"part": of["new_tok_per_s"], "whole": of["old_tok_per_s"]}
    stated = {"part": of["old_usd_per_mtok"], "whole": of["new_usd_per_mtok"]}
    again = span(over, {"part": span(unit_cost, costs["old"]), "whole": span(unit_cost, costs["new"])})
    sold = {"part": rack["revenue_musd"], "whole": rack["invested_musd"]}
    return [
        line("H200, a million tokens", "USD", of["old_usd_per_mtok"], span(unit_cost, costs["old"])),
        line("GB300, a million tokens", "USD", of["new_usd_per_mtok"], span(unit_cost, costs["new"])),
        line("Rate, GB300 over H200", "times", of["rate_ratio"], span(over, rates)),
        line("Cost, H200 over GB300, stated costs", "times", of["cost_ratio"], span(over, stated)),
        line("Cost, H200 over GB300, prices and rates", "times", of["cost_ratio"], again),
        line("Revenue over investment", "times", rack["return_factor"], span(over, sold)),
    ]


def implied_tok_per_s(*, usd_per_hour, usd_per_mtok):
    """Tokens per second of one accelerator at which an hour's price is a price per million tokens."""
    return usd_per_hour / usd_per_mtok * MTOK / HOUR_S


def widest_column(new_id: str, old_id: str) -> tuple[str, float]:
    """The figure of two data sheets that differs most, new over old, in words, and by what factor; rates of products are taken
    at the fastest format of each."""
    new, old = tables.accelerator(new_id), tables.accelerator(old_id)
    ratios = {
        "the peak rate": max(new.peak_flop_per_s.values()) / max(old.peak_flop_per_s.values()),
        "the bandwidth of memory": new.memory_bytes_per_s / old.memory_bytes_per_s,
        "the capacity of memory": new.memory_bytes / old.memory_bytes,
        "the number of accelerators joined by the fast link": new.link_domain / old.link_domain,
    }
    return max(ratios.items(), key=lambda item: item[1])


def a16z_lines(of: Mapping[str, Stated]) -> list[dict]:
    """The reconciliations of a16z's fall of prices."""

    def over(start, end):
        return start / end

    def yearly(factor, years):
        return float(np.power(factor, 1 / years))

    fall = span(over, {"start": of["start_usd_per_mtok"], "end": of["end_usd_per_mtok"]})
    upper = span(yearly, {"factor": of["fall_factor_upper"], "years": of["years_upper"]})
    return [
        line("Fall in three years, lower score", "times", of["fall_factor"], fall),
        line("Fall a year, lower score", "times", of["fall_per_year"], span(yearly, {"factor": fall, "years": of["years"]})),
        line("Fall a year, higher score", "times", of["fall_per_year"], upper),
    ]
