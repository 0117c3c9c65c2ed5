"""From a body to what it says: a resource, or what is to be changed of one. Refusals say which attribute and which of RFC 7644's reasons,
never what was sent."""

from typing import Any, TypeVar, cast

from pydantic import ValidationError
from scim2_models import Context, Error, Resource, SCIMException

from gateway.access.scim.resources import LENIENT, PATCHES
from gateway.errors import CallerError, InvalidScim
from gateway.wire.json import decode_strict

M = TypeVar("M", bound=Resource[Any])
_PLAIN = frozenset(
    {"string_type", "bool_type", "bool_parsing", "list_type", "int_type", "int_parsing", "dict_type", "model_type", "missing"}
)
"""Of pydantic's own texts, those that quote nothing of what was sent."""
_MEANINGS = {
    "invalidFilter": "The filter is not one of RFC 7644, or it asks what cannot be asked of this attribute.",
    "invalidPath": "The path names no attribute of this kind of resource.",
    "invalidSyntax": "The body is not of the shape that is asked for.",
    "invalidValue": "A value is missing, or does not fit its attribute.",
    "mutability": "The attribute cannot be changed so.",
    "noTarget": "The path finds nothing to change.",
    "tooMany": "There are more results than one answer may carry.",
    "uniqueness": "Another resource has this value.",
}


def read_resource(model: type[M], body: bytes) -> M:
    """The whole of a resource, as POST and PUT send it. What only the gateway says is left out. Raises InvalidScim, MalformedBody."""
    try:
        return model.model_validate(decode_strict(body), scim_ctx=Context.RESOURCE_REPLACEMENT_REQUEST, scim_policy=LENIENT)
    except (ValidationError, SCIMException) as error:
        raise refusal(error) from None


def patched(resource: M, body: bytes) -> M:
    """What a resource is after the operations of a PATCH body: all of them, or none. Raises InvalidScim, MalformedBody."""
    try:
        asked = PATCHES[type(resource)].model_validate(decode_strict(body), scim_ctx=Context.RESOURCE_PATCH_REQUEST, scim_policy=LENIENT)
        asked.patch(resource, LENIENT)
    except (ValidationError, SCIMException) as error:
        raise refusal(error) from None
    for extension in resource.get_extension_models().values():  # one that was taken away says that nothing is left of it
        if getattr(resource, extension.__name__) is None:
            setattr(resource, extension.__name__, extension())
    return resource


def refusal(error: ValidationError | SCIMException) -> CallerError:
    """The first thing that was wrong."""
    if isinstance(error, SCIMException):
        return _named(error.scim_type)
    first = error.errors(include_url=False, include_input=False)[0]
    told = Error.from_validation_error(cast("dict[str, Any]", first))
    attribute = ".".join(str(part) for part in first["loc"] if isinstance(part, str) and part.isidentifier())
    text = first["msg"] if first["type"] in _PLAIN else ""
    return _named(told.scim_type or "invalidValue", attribute, text)


def _named(scim_type: str, attribute: str = "", text: str = "") -> InvalidScim:
    known = scim_type if scim_type in _MEANINGS else "invalidValue"
    said = text or _MEANINGS[known]
    return InvalidScim(known, f"{attribute}: {said}" if attribute else said)
