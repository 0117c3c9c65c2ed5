"""Unforeseen exceptions: logged once under an id, and told by that id alone."""

import logging
import secrets

from gateway import request_ids
from gateway.errors import InternalError


def incident(error: BaseException, logger: logging.Logger) -> InternalError:
    """Log where an exception came from, and make the error that is told instead. Its text is not logged: it may quote a value."""
    number = secrets.token_hex(8)
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place is not None else "?"
    request_id = request_ids.current()
    asked = f" (request {request_id})" if request_id is not None else ""
    logger.error("incident %s: %s at %s%s", number, type(error).__name__, where, asked)
    return InternalError(f"Internal error. It stands in the gateway's log as incident {number}.")
