"""The setup that levers start from, by name: `model=llama-3.1-70b,accelerator=h100-sxm,weights=bf16,tp=4,serving=early`."""

from costpertoken import tables
from costpertoken.model.levers import reserve, write_scores
from costpertoken.model.records import Deployment, InputError, UnknownName, Workload
from costpertoken.model.setup import SCHEDULES, Setup

#: serving=early: static batches, a reserved stretch a sequence, unfused attention; current: what engines do today.
SERVING = ("current", "early")
NAMES = ("model", "accelerator", "weights", "engine", "serving", "schedule")
COUNTS = ("tp", "pp", "dp")
NUMBERS = ("input_tokens", "output_tokens", "cached_share", "concurrency", "output_cv", "reserved_tokens", "fragmentation",
           "score_passes")  # fmt: skip


def early(deployment: Deployment, workload: Workload, **asked: float) -> Setup:
    """Serving before paging, fused kernels and iteration-level scheduling; what is not asked for is of data/levers.csv."""
    rows = tables.read("levers").query("lever == 'baseline'").set_index("setting")["value"].to_dict()
    given = rows | asked
    setup = Setup(deployment=deployment, workload=workload, schedule="static", output_cv=given["output_cv"])
    stretch = {name: given[name] for name in ("reserved_tokens", "fragmentation")}
    return write_scores(reserve(setup, **stretch), passes=given["score_passes"])


def current(deployment: Deployment, workload: Workload, **asked: float) -> Setup:
    """Serving as engines do it today, but for what is asked."""
    setup = Setup(deployment=deployment, workload=workload, output_cv=asked.get("output_cv", 0.0))
    if asked.get("reserved_tokens"):
        setup = reserve(setup, reserved_tokens=asked["reserved_tokens"], fragmentation=asked.get("fragmentation", 0.0))
    return write_scores(setup, passes=asked.get("score_passes", 0.0))


def parse(text: str, *, input_tokens: float, output_tokens: float) -> Setup:
    """A setup as it is typed; lengths not given are those of the keywords. Unknown names are refused with the nearest."""
    given = values(text)
    for needed in ("model", "accelerator"):
        if needed not in given:
            raise InputError(
                f"baseline: {needed} is missing; expected model=ID,accelerator=ID[,weights=FORMAT,tp=N,...]"
            )
    words = {name: given[name] for name in ("weights", "engine") if name in given}
    degrees = {name: int(given[name]) for name in COUNTS if name in given}
    deployment = tables.deployment(given["model"], given["accelerator"], **words, **degrees)
    load = {name: given[name] for name in ("cached_share", "concurrency") if name in given}
    lengths = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    workload = Workload(**(lengths | {name: given[name] for name in lengths if name in given}), **load)
    asked = {
        name: given[name] for name in ("output_cv", "reserved_tokens", "fragmentation", "score_passes") if name in given
    }
    made = (early if given.get("serving") == "early" else current)(deployment, workload, **asked)
    return made if "schedule" not in given else Setup(**(made.__dict__ | {"schedule": given["schedule"]}))


def values(text: str) -> dict:
    """Names and numbers of a typed baseline."""
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, sign, value = (piece.strip() for piece in part.partition("="))
        known = [*NAMES, *COUNTS, *NUMBERS]
        if name not in known:
            raise UnknownName(f"baseline: unknown {name!r}; nearest: {tables.nearest(name, known)}")
        if not sign or not value:
            raise InputError(f"baseline: {name} has no value; expected {name}=VALUE")
        if name in found:
            raise InputError(f"baseline: {name} stands twice; give it once")
        found[name] = value if name in NAMES else number(name, value)
    for name, words in (("serving", SERVING), ("schedule", SCHEDULES)):
        if name in found and found[name] not in words:
            raise InputError(f"baseline: {name} is {found[name]!r}; expected one of {', '.join(words)}")
    return found


def number(name: str, value: str) -> float:
    """A number as it is typed; degrees are whole."""
    try:
        read = float(value)
    except ValueError:
        raise InputError(f"baseline: {name} is {value!r}; expected a number") from None
    if name in COUNTS and (read != int(read) if abs(read) < 1e9 else True):
        raise InputError(f"baseline: {name} is {value}; expected a whole number")
    return read
