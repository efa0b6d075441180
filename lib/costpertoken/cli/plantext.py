"""A plan in a terminal: the fleets as a table, their intervals as a chart, and what is to be said of them."""

import math

from costpertoken import tables
from costpertoken.answers.offers import CLASSES, TERMS
from costpertoken.cli import traces
from costpertoken.cli.terminal import hanging, table
from costpertoken.model.units import KILO

#: Characters of the chart's axis.
BAR = 34


def named(row: dict, models) -> str:
    """A fleet in a few words: replicas x accelerators of each."""
    model = f"{row['model']} " if len(models) > 1 else ""
    return f"{model}{row['n_replicas']} x {row['tp']} {row['accelerator']} {row['weights']}"


def offered_by(row: dict) -> str:
    """Who sells it: provider, region, term; a star where the price is past its shelf life."""
    term = "" if row["term"] == TERMS[0] else row["term"]
    return " ".join(filter(None, [row["provider"], row["region"], term])) + "*" * row["price_is_stale"]


def drawn(record: dict) -> str:
    """Tables and notes for a terminal."""
    at, models = record["traffic"], record["rules"]["models"]
    head = (
        f"{', '.join(models)}: {at['requests_per_s']:,.3g} requests/s in the mean, {at['peak_requests_per_s']:,.3g} at the peak; "
        f"{at['input_tokens']:,.0f} tokens in, {at['output_tokens']:,.0f} out\n{words_of(record['limits'])}"
    )
    rows = [
        [f"{i} {named(row, models)}", offered_by(row), f"{row['usd_per_mtok']:,.3g}", f"{row['usd_per_month']:,.0f}",
         f"{row['n_accelerators']:,.3g}", f"{row['utilisation']:.0%}", *latency(row)]
        for i, row in enumerate(record["fleets"], start=1)
    ]  # fmt: skip
    heads = ["  replicas", "offer", "USD/Mtok", "USD/month", "GPUs", "used", "TTFT ms", "TPOT ms"]
    parts = [head, table(heads, rows), "", *chart(record["fleets"]), ""]
    return "\n".join([*parts, *(hanging(*note) for note in notes(record))]) + "\n"


def words_of(limits: dict) -> str:
    """The limits in a sentence."""
    asked = [f"{name.removesuffix('_s').upper()} {KILO * limits[name]:,.0f} ms" for name in ("ttft_s", "tpot_s")
             if math.isfinite(limits[name])]  # fmt: skip
    return f"{' and '.join(asked)} for {100 * limits['share']:.4g} % of the requests" if asked else "no latency limit"


def latency(row: dict) -> list[str]:
    """TTFT and TPOT in milliseconds, replayed where that was done (marked r)."""
    seen = row["simulated"] or row
    return [f"{KILO * seen[name]:,.0f}{' r' * (row['simulated'] is not None)}" for name in ("ttft_s", "tpot_s")]


def chart(rows: list[dict]) -> list[str]:
    """Intervals of cost on one logarithmic line each."""
    ends = [min(row["usd_per_mtok_low"] for row in rows), max(top_of(row) for row in rows)]
    span = math.log(ends[1] / ends[0]) or 1.0

    def at(usd: float) -> int:
        return round(BAR * math.log(usd / ends[0]) / span)

    lines = [f"{'USD per million output tokens, model and market joined':<60}  bound by"]
    for i, row in enumerate(rows, start=1):
        bar = [" "] * (BAR + 1)
        low, high = at(row["usd_per_mtok_low"]), at(top_of(row))
        bar[low : high + 1] = "─" * (high - low + 1)
        bar[at(row["usd_per_mtok"])] = "●"
        end = f"{row['usd_per_mtok_high']:,.3g}" if math.isfinite(row["usd_per_mtok_high"]) else "none"
        lines.append(f"{i:>2} {''.join(bar)} {row['usd_per_mtok_low']:,.3g} to {end}".ljust(62) + row["binding"])
    return lines


def top_of(row: dict) -> float:
    """Where a row's bar ends."""
    high = row["usd_per_mtok_high"]
    return high if math.isfinite(high) else row["usd_per_mtok_price_high"]


def notes(record: dict) -> list[tuple[str, str]]:
    """What binds the best fleet, what the next best costs, what was replayed, and how old the prices are."""
    rows, searched = record["fleets"], record["searched"]
    best = f"{named(rows[0], record['rules']['models'])}, bound by {rows[0]['binding']}; the model is {rows[0]['support']}"
    found = [("Best", best)]
    if len(rows) > 1:
        found.append(("Next", f"{rows[1]['usd_per_month_over_best']:,.0f} USD a month more"))
    found += [
        ("API", f"{one['model']} from {one['cheapest']} would cost {one['cheapest_usd_per_month']:,.0f} USD a month, from the "
                f"median of {one['n_sellers']} sellers {one['median_usd_per_month']:,.0f}; no limit is promised there")
        for one in record["api"]
    ]  # fmt: skip
    if math.isinf(record["limits"]["ttft_s"]):
        found.append(("TTFT", "no limit was asked for, so a fleet may make requests wait: --ttft-ms sets one"))
    if any(math.isinf(row["usd_per_mtok_high"]) for row in rows):
        found.append(("none", "at the slow end of the model's interval no number of replicas keeps the limits"))
    found += replays(rows) + traces.notes(record["traffic"]["refused"], record["traffic"]["reordered"])
    stale = sorted({row["price_as_of"] for row in rows if row["price_is_stale"]})
    if stale:
        found.append(("*", f"past its shelf life of {tables.SHELF_DAYS} days on {record['as_of']}: price of {', '.join(stale)}"))
    kinds = f" of {' and '.join(CLASSES)}s; marketplaces on request" if record["marketplace_left_out"] else ""
    found.append(("Searched", f"{searched['n_placements']:,} placements at {searched['n_offers']:,} offers{kinds}"))
    return found


def replays(rows: list[dict]) -> list[tuple[str, str]]:
    """What the replays showed (r in the table)."""
    found = []
    for i, row in enumerate(rows, start=1):
        if seen := row["simulated"]:
            verdict = "keeps the limits" if seen["is_kept"] else "does not keep the limits"
            words = f"{i}: {seen['n_requests']:,} requests, {verdict} with {traces.counted(row['n_replicas'], 'replica')}"
            asked = f"the closed form asked for {seen['n_replicas_of_closed_form']}"
            found.append(("" if found else "Replay r", f"{words}; {asked}"))
    return found
