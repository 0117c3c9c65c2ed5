"""The client secrets of service accounts with OAuth credentials: two at most, so that one can take the place of the other while both are
good; at least one of them active; inactive before it is deleted. Every function is work of an act (`access.administration`).

A token names the secret that it was given for, and is over when that is not active any more: one that has leaked is stopped by deactivating
it, and tokens of the other one go on.
"""

from collections.abc import Sequence

from sqlalchemy import select

from gateway.access.accounts import OAUTH, add_secret, is_identifier, managed
from gateway.access.administration import Act
from gateway.access.store.tables import ClientSecret
from gateway.errors import FailedPrecondition, NotFound

MOST = 2
_UNSEEN = "The service account has no such client secret."


def create(act: Act, account_id: str, secret_id: str) -> tuple[ClientSecret, str]:
    """A new secret, and what it is: to be shown this once. Raises FailedPrecondition where there are two."""
    if len(list_all(act, account_id)) >= MOST:
        raise FailedPrecondition(f"A service account has at most {MOST} client secrets: delete one before another is made.")
    act.detail = f"made client_secret/{secret_id}"
    return add_secret(act, account_id, secret_id)


def list_all(act: Act, account_id: str) -> Sequence[ClientSecret]:
    """The oldest first."""
    account = managed(act, account_id)
    if account.credentials != OAUTH:
        raise FailedPrecondition("The service account has an API key: only those with OAuth credentials have client secrets.")
    chosen = select(ClientSecret).where(ClientSecret.account_id == account_id).order_by(ClientSecret.created_us, ClientSecret.id)
    return act.session.scalars(chosen).all()


def activate(act: Act, account_id: str, secret_id: str) -> ClientSecret:
    """One that is active stays as it is."""
    secret = _one(list_all(act, account_id), secret_id)
    _set(act, secret, active=True)
    act.detail = f"activated, of service_account/{account_id}"
    return secret


def deactivate(act: Act, account_id: str, secret_id: str) -> ClientSecret:
    """One that is not active stays as it is. Raises FailedPrecondition where no other one is active."""
    secrets = list_all(act, account_id)
    secret = _one(secrets, secret_id)
    if not any(other.is_active for other in secrets if other is not secret):
        raise FailedPrecondition("At least one client secret must stay active; deactivate the service account to stop it altogether.")
    _set(act, secret, active=False)
    act.detail = f"deactivated, of service_account/{account_id}"
    return secret


def remove(act: Act, account_id: str, secret_id: str) -> None:
    """Raises FailedPrecondition where it is active."""
    secret = _one(list_all(act, account_id), secret_id)
    if secret.is_active:
        raise FailedPrecondition("The client secret must be deactivated before it can be deleted.")
    act.session.delete(secret)
    act.session.flush()
    act.detail = f"deleted, of service_account/{account_id}"


def _one(secrets: Sequence[ClientSecret], secret_id: str) -> ClientSecret:
    found = next((one for one in secrets if one.id == secret_id), None) if is_identifier(secret_id) else None
    if found is None:
        raise NotFound(_UNSEEN)
    return found


def _set(act: Act, secret: ClientSecret, *, active: bool) -> None:
    if secret.is_active is not active:
        secret.is_active = active
        secret.updated_us = act.now_us
        act.session.flush()
