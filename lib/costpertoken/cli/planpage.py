"""A plan as one page that opens offline: chart, table and what was asked."""

import html
import json
import os
from pathlib import Path

import pandas as pd

from costpertoken.cli.plantext import named, offered_by, words_of
from costpertoken.model.records import InputError
from costpertoken.model.units import KILO

HEADS = {
    "fleet": "Fleet", "offer": "Offer", "usd": "USD/M output", "low": "from", "high": "to",
    "month": "USD a month", "gpus": "GPUs", "used": "Used (%)", "ttft": "TTFT (ms)", "tpot": "TPOT (ms)",
    "binding": "Bound by", "replayed": "Replayed",
}  # fmt: skip
TITLE = "Cheapest fleets"
STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    "table{border-collapse:collapse}th,td{padding:.3rem .6rem;text-align:right;border-bottom:1px solid #8886}"
    "th:nth-child(-n+2),td:nth-child(-n+2){text-align:left}td:first-child{min-width:9rem}.wide{overflow-x:auto}"
    "img{max-width:100%;height:auto}"
)


def write(path: Path, record: dict) -> None:
    """The page in its place, whole or not at all; an unknown folder is refused."""
    if not path.absolute().parent.is_dir():
        raise InputError(f"--html: {path.parent} is not a folder; expected one that exists")
    part = path.with_name(f"{path.name}.part")
    part.write_text(page(record), "utf8")
    os.replace(part, path)


def page(record: dict) -> str:
    """The page's text."""
    frame, at = as_frame(record), record["traffic"]
    asked = (
        f"{', '.join(record['rules']['models'])}: {at['requests_per_s']:,.3g} requests a second in the mean, "
        f"{at['peak_requests_per_s']:,.3g} at the peak; {at['input_tokens']:,.0f} tokens in, {at['output_tokens']:,.0f} out; "
        f"{words_of(record['limits'])}. {record['searched']['n_placements']:,} placements at "
        f"{record['searched']['n_offers']:,} offers, {record['as_of']}. * past its shelf life."
    )
    listed = frame.rename(columns=HEADS).to_html(index=False, float_format=lambda value: f"{value:,.3g}", border=0, na_rep="none")
    body = f"<h1>{TITLE}</h1><p>{html.escape(asked)}</p>{figure(frame)}<div class=wide>{listed}</div>"
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{TITLE}</title>'
    return f'<!doctype html><html lang="en">{head}<style>{STYLE}</style>{body}</html>\n'


def as_frame(record: dict) -> pd.DataFrame:
    """The fleets as rows of the page's table."""
    models = record["rules"]["models"]
    rows = []
    for i, row in enumerate(record["fleets"], start=1):
        seen = row["simulated"] or row
        rows.append(
            {
                "fleet": f"{i}. {named(row, models)}", "offer": offered_by(row), "usd": row["usd_per_mtok"],
                "low": row["usd_per_mtok_low"], "high": row["usd_per_mtok_high"], "month": f"{row['usd_per_month']:,.0f}",
                "gpus": row["n_accelerators"], "used": f"{100 * row['utilisation']:.0f}",
                "ttft": f"{KILO * seen['ttft_s']:,.0f}", "tpot": f"{KILO * seen['tpot_s']:,.0f}", "binding": row["binding"],
                "replayed": "" if row["simulated"] is None else "kept" if row["simulated"]["is_kept"] else "not kept",
            }
        )  # fmt: skip
    return pd.DataFrame(rows).replace({float("inf"): float("nan")})


def figure(frame: pd.DataFrame) -> str:
    """The chart as a picture inside the page. The press is loaded here: no other command waits for it."""
    from bookpress.twin import image, static_svg
    from costpertoken import charts
    from costpertoken.chartkit import settled

    charts.enable()
    best = frame.iloc[0]
    drawn = charts.ranges(
        frame.fillna({"high": frame["usd"].max()}), "fleet", "usd", "low", "high", log_x=True, source="Model: Cost per Token",
        x_title="Output tokens (USD per million)", title=f"{best['fleet'][3:]} serves this for {best['month']} USD a month",
        subtitle="Dots: the typical figure. Bars: the model's interval and the market's range, joined",
    )  # fmt: skip
    spec = settled(json.loads(drawn.to_json())) | {"background": "white"}
    return image(static_svg(spec, titled=True), spec["usermeta"]["alt"])
