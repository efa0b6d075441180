"""The whole ledger seen at once: the score by part, how rare the conditions are, which claims exclude each other, and what the
conditions have in common."""

import math
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.evidence import admissible, claims, words
from costpertoken.evidence.kept import kept

#: Verdicts as a reader wants them stacked: from true to undecided.
ORDER = ["holds", "holds-under", "inconsistent", "overstated", "understated", "contradicts-physics", "unverifiable"]
#: True nowhere, or not together with another claim.
WRONG = ("inconsistent", "overstated", "understated", "contradicts-physics")
PARTS = {
    "token-economics": "Token economics",
    "hardware": "Hardware",
    "software": "Software",
    "deployment": "Deployment",
    "case-studies": "Case studies",
}
#: Quantities of one resource: what a data sheet, a format or a layout settles.
OF_A_PART = (
    "FLOP reduction", "bandwidth ratio", "bits a weight", "bytes per parameter", "bytes per token", "bytes read a step",
    "cache ratio", "memory bandwidth", "memory capacity", "power", "power ratio", "vCPUs", "waste reduction",
    "weight memory", "weights stored wider",
)  # fmt: skip
#: Quantities of the service as a whole: what a token costs, how fast it comes.
OF_THE_WHOLE = (
    "TCO reduction", "cost of a token on two cards over one", "cost per word", "cost ratio", "cost ratio of the two",
    "cost reduction", "cost reduction by 4-bit weights that keep the accuracy", "excess cost", "latency increase",
    "relative gap", "speed-up", "speed-up of an accelerator", "throughput", "unit cost",
)  # fmt: skip
SCOPES = ("one resource", "cost or speed of a token", "prices and the rest")
#: Upper ends of the classes in which shares of scenarios are counted.
SHARES = {"under 1%": 0.01, "1 to 5%": 0.05, "5 to 20%": 0.2, "20 to 50%": 0.5, "50% and more": 0.999999, "all": math.inf}
#: Units of what is said of two things.
RATIO_UNITS = ("percent", "x", "ratio", "rank")
COMPARED, AMOUNT = "what is compared", "how much"
BOTH, APART, NEVER = "can both be true", "exclude each other", "one is never true"
PAIR = ["claim", "other", "claim_holds", "other_holds", "both_hold", "claim_low", "claim_high", "other_low", "other_high"]


def everything() -> pd.DataFrame:
    """One row a claim, all of them: the ledger's columns, its part, subject, quantity and scope."""
    rows = tables.read("claims")[["id", "part", "subject", "quantity", "claim", "reading"]]
    out = rows.merge(claims.ledger().drop(columns="claim"), on="id")
    scopes = out["quantity"].map(lambda name: SCOPES[0] if name in OF_A_PART else SCOPES[1 if name in OF_THE_WHOLE else 2])
    return out.assign(
        part=out["part"].map(PARTS),
        scope=scopes,
    )


def listing(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of `everything()` as a reader searches them: claim, verdict, what is printed, why, what is computed, part."""
    shown = words.shown(rows)
    read = ("; read as: " + rows["reading"]).where(rows["reading"] != "", "").to_numpy()
    shown = shown.assign(
        Part=rows["part"].to_numpy(),
        Why=shown["Why"] + read,
    )
    return shown[["Claim", "Verdict", "Printed", "Why", "Computed", "Part"]]


def examples(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    """The rows that are true in the fewest scenarios: claim, printed, computed, when it is true, share of scenarios in %."""
    rare = rows.sort_values(["share", "id"]).head(most)
    shown = words.shown(rare)[["Claim", "Printed", "Computed"]]
    when = rare["condition"].where(rare["condition"] != "", rare["verdict"]).to_numpy()
    return shown.assign(**{"True when": when, "Scenarios": 100 * rare["share"].to_numpy()})


def decided(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows about which something could be computed."""
    return rows[rows["verdict"] != "unverifiable"]


def score(rows: pd.DataFrame, by: str, groups: Sequence[str], verdicts: Sequence[str] = ()) -> pd.DataFrame:
    """Number of claims by group and verdict: columns `by`, verdict, claims; verdicts in ORDER, without these those given."""
    counted = rows.groupby(["verdict", by]).size()
    named = verdicts or [verdict for verdict in ORDER if verdict in set(rows["verdict"])]
    at = [(verdict, group) for verdict in named for group in groups]
    out = pd.DataFrame(at, columns=["verdict", by])
    return out.assign(claims=[int(counted.get(key, 0)) for key in at])


def holding(rows: pd.DataFrame) -> tuple[int, int]:
    """(claims that hold as printed, claims decided)."""
    return int(rows["verdict"].eq("holds").sum()), len(decided(rows))


def by_interval(rows: pd.DataFrame) -> pd.DataFrame:
    """Those that hold although the computed value is another than the printed one: its interval alone reaches it."""
    return rows[rows["verdict"].eq("holds") & rows["reason"].str.contains(words.BY_INTERVAL)]


def by_share(rows: pd.DataFrame) -> pd.DataFrame:
    """How many claims are true in which share of their admissible scenarios: columns share, verdict, claims; those that
    hold, and those that hold under a condition."""
    classes = np.searchsorted(list(SHARES.values()), rows["share"].fillna(0.0), side="right")
    return score(rows.assign(share=[list(SHARES)[at] for at in classes]), "share", list(SHARES), ["holds", "holds-under"])


def changes(rows: pd.DataFrame) -> pd.DataFrame:
    """The inputs that the conditions change: columns id, input, kind (COMPARED if it is a word, else AMOUNT)."""
    out = []
    for row in rows[rows["condition"] != ""].itertuples():
        known = admissible.inputs(row.id)
        for name in re.findall(r"(?:^|\), )([a-z][a-z0-9 ]*) = ", row.condition):
            one = known[name.replace(" ", "_")]
            word = bool(one.words) and isinstance(one.value, str)
            out.append((row.id, name, COMPARED if word else AMOUNT))
    return pd.DataFrame(out, columns=["id", "input", "kind"])


def common_inputs(changed: pd.DataFrame, kind: str, most: int) -> str:
    """The inputs of a kind that change most often, in words: 'model (4), baseline (2)'."""
    counted = changed.loc[changed["kind"] == kind, "input"].value_counts(sort=False).sort_index()
    ranked = counted.sort_values(ascending=False, kind="stable").head(most)
    return ", ".join(f"{name} ({n})" for name, n in ranked.items())


def pairs() -> pd.DataFrame:
    """One row a pair that a check computes from the same inputs: in which shares of the admissible scenarios the first
    claim's printed value comes out, the other's, and both; and from where to where each comes out while the other holds."""
    return pd.DataFrame(kept("pairs", lambda: {"rows": _pairs()})["rows"], columns=PAIR)


def _pairs() -> list[list]:
    claims.load_checks()
    bands = {row.id: claims.printed_of(row).band() for row in tables.read("claims").itertuples()}
    out = []
    for claim, other in claims.TOGETHER:
        values = claims.together_values(claim, other)
        first = np.array([admissible.gap(a, bands[claim]) == 0 for a, _ in values])
        second = np.array([admissible.gap(b, bands[other]) == 0 for _, b in values])
        shares = [float(held.mean()) for held in (first, second, first & second)]
        out.append([claim, other, *shares, *_ends([a for a, _ in values], second), *_ends([b for _, b in values], first)])
    return out


def _ends(values: list[float], held: np.ndarray) -> tuple[float, float]:
    """Least and most of the values of some scenarios; NaN where there is none."""
    found = np.array(values, dtype=float)[held]
    return (float(np.nanmin(found)), float(np.nanmax(found))) if np.isfinite(found).any() else (math.nan, math.nan)


def implied(found: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """What each of two claims makes of the other: columns If this holds, Then this, Printed, Comes out as (from the lowest to
    the highest over the admissible scenarios in which the first holds)."""
    out, known = [], rows.set_index("id")
    for pair in found.itertuples():
        for one, other, low, high in (
            (pair.claim, pair.other, pair.other_low, pair.other_high),
            (pair.other, pair.claim, pair.claim_low, pair.claim_high),
        ):
            of, unit = known.loc[other], known.at[other, "unit"]
            comes = words.quantity(high, unit) if low == high else f"{words.digits(low)} to {words.quantity(high, unit)}"
            out.append((known.at[one, "claim"], of["claim"], of["printed"].removeprefix("read as "), comes))
    return pd.DataFrame(out, columns=["If this holds", "Then this", "Printed", "Comes out as"])


def outcomes(found: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The pairs with their outcome by the ledger: they exclude each other, or hold together in some scenario, or one of them
    holds in none, so that nothing follows."""
    others = rows.set_index("id")["conflicts_with"].str.split(", ")
    ends = zip(found["claim"], found["other"], strict=True)
    apart = np.array([other in others[claim] or claim in others[other] for claim, other in ends], dtype=bool)
    both = found["both_hold"].to_numpy() > 0
    return found.assign(outcome=np.where(apart, APART, np.where(both, BOTH, NEVER)))


def arcs(found: pd.DataFrame, n_points: int = 25) -> tuple[pd.DataFrame, list[str]]:
    """The pairs as half circles over a column of claims: rows pair, outcome, order, across and down, in steps of one row;
    and the claims from top to bottom, those that are joined next to each other."""
    order: list[str] = []
    joined = {name: set(found.loc[found["claim"] == name, "other"]) | set(found.loc[found["other"] == name, "claim"])
              for name in [*found["claim"], *found["other"]]}  # fmt: skip

    def visit(name: str) -> None:
        if name not in order:
            order.append(name)
            for other in sorted(joined[name]):
                visit(other)

    for name in sorted(joined, key=lambda one: (len(joined[one]), one)):
        visit(name)
    turn = np.linspace(0, math.pi, n_points)
    out = []
    for row in found.itertuples():
        top, low = sorted((order.index(row.claim), order.index(row.other)))
        radius, centre = (low - top) / 2, (low + top) / 2
        at = zip(radius * np.sin(turn), centre - radius * np.cos(turn), strict=True)
        out += [(f"{row.claim} and {row.other}", row.outcome, n, across, down) for n, (across, down) in enumerate(at)]
    return pd.DataFrame(out, columns=["pair", "outcome", "order", "across", "down"]), order
