"""The inverse of a claim: the smallest change of its check's inputs that makes it true, put back into the check."""

from costpertoken.evidence import admissible, claims


def solved(claim_id: str):
    """(what is printed, the check's value at its defaults, its value with the solution put back)."""
    claims.load_checks()
    row = next(claims.claim_rows(claim_id=claim_id).itertuples())
    one, known, printed = claims.CHECKS[row.check], admissible.inputs(claim_id), claims.printed_of(row)
    f = claims.function_of(one)
    now = f(admissible.defaults(known)).value
    found = admissible.solve(f, known, claims.target(printed, now), printed.band())
    return printed, now, claims.figure(one.function(**{**admissible.defaults(known), **found.changed})).value
