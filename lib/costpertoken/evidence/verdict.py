"""The rule that turns a computed figure into a verdict; it is applied in the order of VERDICTS and never by hand.

Printed values have a tolerance, as data: half a unit of the last printed digit or a tenth, the wider, at most.
"""

import math
from typing import NamedTuple

from costpertoken.evidence.admissible import Figure, Solution

#: Verdict -> when it is given. The order is the rule's.
VERDICTS = {
    "unverifiable": "no check can be computed from data or model; the reason is given",
    "contradicts-physics": "the printed value lies beyond 100 % of bandwidth, peak and memory, for all admissible inputs",
    "inconsistent": "it cannot hold together with another, named claim for any common admissible input; alone it could",
    "holds": "the printed value, with its tolerance, overlaps the computed interval in the stated or else the default scenario",
    "holds-under": "it holds at admissible inputs that are not stated: the smallest change from the default is solved for",
    "overstated": "outside for all admissible inputs, on the side that flatters the effect",
    "understated": "outside for all admissible inputs, on the side that belittles the effect",
}
#: A tolerance so many times narrower and wider that gives another verdict makes a close call.
CLOSE = (0.5, 2.0)
WIDEST_SHARE = 0.1


class Printed(NamedTuple):
    """What the article prints: a value or a range, open ends infinite; `flatters`: whether more ("high") or less is better."""

    low: float
    high: float
    tolerance: float
    flatters: str

    def band(self, factor: float = 1.0) -> tuple[float, float]:
        """The printed range with its tolerance."""
        return self.low - factor * self.tolerance, self.high + factor * self.tolerance


class Evidence(NamedTuple):
    """What the rule looks at. reach and physics: (least, most) over all admissible inputs, as calibrated and at 100 %.
    share: of the admissible scenarios, those under which the printed value comes out."""

    figure: Figure
    reach: tuple[float, float]
    physics: tuple[float, float]
    solution: Solution | None
    share: float
    conflicts: tuple[str, ...]


def widest_tolerance(text: str) -> float:
    """Half a unit of the last printed digit of a number, or a tenth of it, the wider."""
    decimals = len(text.partition(".")[2])
    return max(0.5 * 10.0**-decimals, WIDEST_SHARE * abs(float(text)))


def overlap(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two ranges share a point; a range with NaN shares none."""
    return one[0] <= other[1] and other[0] <= one[1]


def verdict(printed: Printed, found: Evidence | None, factor: float = 1.0) -> str:
    """The first of VERDICTS whose condition is met. found: None where nothing can be computed."""
    if found is None:
        return "unverifiable"
    band = printed.band(factor)
    if not overlap(band, found.physics):
        return "contradicts-physics"
    stated = overlap(band, (found.figure.low, found.figure.high))
    if found.conflicts and (stated or found.solution):
        return "inconsistent"
    if stated:
        return "holds"
    if found.solution:
        return "holds-under"
    most = found.reach[1] if math.isnan(found.figure.high) else found.figure.high
    above = math.isnan(most) or band[0] > most  # what never fits is promised too much, whatever is printed
    return "overstated" if above == (printed.flatters == "high") else "understated"
