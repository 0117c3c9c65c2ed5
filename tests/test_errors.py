"""Completeness: every error says who broke it, and every leaf reaches a caller with a status of its own or of an ancestor."""

import inspect
from collections.abc import Iterator

import pytest

from gateway import errors
from gateway.errors import (
    CallerError,
    Code,
    Fault,
    GatewayError,
    InternalError,
    MethodNotAllowed,
    OnDemandFailed,
    OriginError,
    OriginThrottled,
)
from gateway.web.problems import STATUS, status_of

BASES = {GatewayError, CallerError, OriginError}


def below(base: type[GatewayError]) -> Iterator[type[GatewayError]]:
    for child in base.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from below(child)


ALL: list[type[GatewayError]] = sorted({GatewayError, *below(GatewayError)}, key=lambda kind: kind.__name__)
RAISED = [kind for kind in ALL if kind not in BASES]


def an(kind: type[GatewayError]) -> GatewayError:
    parameters = inspect.signature(kind).parameters.values()
    return kind(*["text" for one in parameters if one.default is inspect.Parameter.empty and one.kind is not one.VAR_KEYWORD])


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = [line.split("─ ")[1].split()[0] for line in (errors.__doc__ or "").splitlines() if "─ " in line]
    assert sorted(drawn) == sorted(kind.__name__ for kind in ALL if kind is not GatewayError)


def test_every_error_of_the_module_is_in_the_tree() -> None:
    declared = {one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, Exception)}
    assert declared == set(ALL)


@pytest.mark.parametrize("kind", RAISED)
def test_every_error_that_is_raised_has_a_status_of_its_own_or_of_an_ancestor(kind: type[GatewayError]) -> None:
    assert any(ancestor in STATUS for ancestor in kind.__mro__)
    assert status_of(an(kind)) == next(STATUS[ancestor] for ancestor in kind.__mro__ if ancestor in STATUS)


@pytest.mark.parametrize("kind", RAISED)
def test_the_fault_is_that_of_the_branch(kind: type[GatewayError]) -> None:
    branch: dict[type, Fault] = {
        CallerError: Fault.CALLER,
        OriginError: Fault.ORIGIN,
        OnDemandFailed: Fault.DEFINITION,
        InternalError: Fault.GATEWAY,
    }
    assert [kind.fault] == [branch[base] for base in kind.__mro__ if base in branch]


@pytest.mark.parametrize("kind", RAISED)
def test_a_callers_fault_is_a_4xx_and_is_not_to_be_tried_again(kind: type[GatewayError]) -> None:
    status = status_of(an(kind))
    if kind.fault is Fault.CALLER:
        assert 400 <= status < 500
        assert not kind.retryable
    elif kind.fault is Fault.DEFINITION:  # never a 500, and always a status whose text tecton-client shows
        assert status in {400, 503, 504}
    else:
        assert status == 429 or 500 <= status < 600


@pytest.mark.parametrize("kind", RAISED)
def test_the_code_is_what_the_contract_has_for_the_status(kind: type[GatewayError]) -> None:
    codes = {
        400: {Code.INVALID_ARGUMENT, Code.FAILED_PRECONDITION},
        401: {Code.UNAUTHENTICATED},
        403: {Code.PERMISSION_DENIED},
        404: {Code.NOT_FOUND},
        405: {Code.UNIMPLEMENTED},
        408: {Code.DEADLINE_EXCEEDED},
        409: {Code.ALREADY_EXISTS},
        413: {Code.RESOURCE_EXHAUSTED},
        414: {Code.RESOURCE_EXHAUSTED},
        417: {Code.FAILED_PRECONDITION},
        429: {Code.RESOURCE_EXHAUSTED},
        431: {Code.RESOURCE_EXHAUSTED},
        500: {Code.INTERNAL, Code.UNKNOWN},
        502: {Code.INTERNAL},
        503: {Code.UNAVAILABLE},
        504: {Code.DEADLINE_EXCEEDED},
    }
    assert kind.code in codes[status_of(an(kind))]
    assert isinstance(kind.code, int)


@pytest.mark.parametrize(("status", "retryable"), [(400, False), (429, True), (500, False), (503, True), (504, True)])
def test_what_may_be_tried_again_follows_the_status(status: int, *, retryable: bool) -> None:
    assert {kind.retryable for kind in RAISED if status_of(an(kind)) == status} == {retryable}


@pytest.mark.parametrize("kind", ALL)
def test_an_error_says_its_message(kind: type[GatewayError]) -> None:
    error = an(kind)
    assert error.message
    assert str(error) == error.message


def test_a_new_leaf_inherits_its_parents_status() -> None:
    leaf = type("TooOld", (errors.InvalidRequest,), {})
    assert status_of(leaf("text")) == 400
    assert status_of(GatewayError("text")) == 500


def test_errors_keep_what_their_headers_need() -> None:
    assert MethodNotAllowed("GET, HEAD").allowed == "GET, HEAD"
    assert OriginThrottled("text").retry_after is None
    assert OriginThrottled("text", "5").retry_after == "5"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            errors.Unauthenticated(),
            "invalid 'Tecton-key' authorization header. Note that newly created credentials may take up to 60 seconds to be usable.",
        ),
        (errors.PermissionDenied(), "Not Authorized. Note that access control changes may take up to 60 seconds to apply."),
        (errors.DeadlineExceeded(), "Timed out"),
    ],
)
def test_the_contracts_texts_are_the_defaults(error: GatewayError, text: str) -> None:
    assert error.message == text
