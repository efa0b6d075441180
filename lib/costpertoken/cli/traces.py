"""What the commands that take a request trace share: reading it, and saying what of it was refused."""

from collections.abc import Iterable

from costpertoken.model.records import InputError


def name_of(option: str) -> str:
    """An option as it is typed."""
    return "--" + option.replace("_", "-")


def given(asked: dict, made_up: Iterable[str]):
    """The trace that --trace names; None where it is not given. Refused beside an option of traffic that is made up, and --strict
    without it. The readers are loaded here: no other command waits for them."""
    from costpertoken.fleet.readers import read

    if asked["trace"] is None:
        if asked["strict"]:
            raise InputError("--strict needs --trace: it is about the rows of a file")
        return None
    for option in made_up:
        if asked[option] is not None:
            raise InputError(f"--trace and {name_of(option)} contradict each other: one is the traffic, the other makes it up")
    return read(asked["trace"], strict=asked["strict"])


def refused_rows(trace) -> dict[str, dict]:
    """Rows of a trace's file that were refused, by reason: how many, and the first lines."""
    return {reason: {"n": len(at), "first_lines": list(map(int, at[:5]))} for reason, at in trace.refused.items()}


def notes(refused: dict[str, dict], reordered: int) -> list[tuple[str, str]]:
    """What was refused and why, and what was put in order: labels and words."""
    found = []
    for reason, rows in refused.items():
        lines = ", ".join(map(str, rows["first_lines"])) + (", ..." if rows["n"] > len(rows["first_lines"]) else "")
        found.append(("Refused", f"{counted(rows['n'], 'row')}: {reason} ({'line' if rows['n'] == 1 else 'lines'} {lines})"))
    if reordered:
        found.append(("Order", f"{counted(reordered, 'row')} earlier than one above; put in order"))
    return found


def counted(n: int, what: str) -> str:
    """So many of them."""
    return f"{n:,} {what}{'s' * (n != 1)}"
