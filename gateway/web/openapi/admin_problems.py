"""What administrative doors refuse, and how: the body is that of every error; what it means is said with each operation."""

from collections.abc import Mapping

from gateway.errors import AccessUnavailable, Code
from gateway.web.openapi.parts import Example, Node, answer
from gateway.web.openapi.problems import problem_refs


def refusals(texts: Mapping[int, str], preconditions: str | None = None, *, body: bool = True) -> Node:
    """By status: the `texts` of those that say something of this operation, and what every one has. `preconditions`: the text of a 400 that
    says what must be done first; such have code 9, not 3."""
    codes = {400: Code.INVALID_ARGUMENT, 404: Code.NOT_FOUND, 409: Code.ALREADY_EXISTS}
    told = {str(status): _problem(status, [_error(text, codes[status])]) for status, text in texts.items()}
    if preconditions is not None:
        malformed = [_error(text, codes[400]) for status, text in texts.items() if status == 400]
        told["400"] = _problem(400, [*malformed, _error(preconditions, Code.FAILED_PRECONDITION)])
    unavailable = _problem(503, [_error(AccessUnavailable().message, Code.UNAVAILABLE)])
    return told | problem_refs((401, 403, 413, 500) if body else (401, 403, 500)) | {"503": unavailable}


_MEANINGS: Mapping[int, str] = {
    400: "The request does not fit, or what it asks for cannot be done to this thing as it is now; the code tells which.",
    404: "There is no such thing, or it is not the caller's to see.",
    409: "The name is taken.",
    503: "The store of access control, or its audit log, cannot be read or written, so nothing was changed.",
}


def _problem(status: int, errors: list[Example]) -> Node:
    return answer(_MEANINGS[status], "Error", **{f"refused_{number}": error for number, error in enumerate(errors, 1)})


def _error(text: str, code: Code) -> Example:
    return Example(text.partition(":")[0].rstrip("."), {"error": text, "message": text, "code": code.value})
