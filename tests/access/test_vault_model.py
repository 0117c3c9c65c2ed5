"""Whatever is done to scopes and secrets, the vault holds what a dictionary would."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from gateway.access.administration import Act
from gateway.access.principals import shell
from gateway.access.rekeying import rewrap_all
from gateway.access.roles import ScopeRole, Standing, including_scopes
from gateway.access.sealing import Sealer
from gateway.access.store.database import Database
from gateway.access.vault import SecretVault
from gateway.administering import open_file
from gateway.errors import AlreadyExists, FailedPrecondition, NotFound

SCOPES, NAMES = ("a", "b", "a.b"), ("x", "y", "X")
EVERYTHING = Standing(None, admin=True, scopes=dict.fromkeys(SCOPES, including_scopes([ScopeRole.MANAGER])))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["create", "drop", "names", "rotate"]), st.sampled_from(SCOPES), st.just(""), st.just("")),
        st.tuples(st.just("put"), st.sampled_from(SCOPES), st.sampled_from(NAMES), st.text(st.characters(codec="utf-8"), max_size=20)),
        st.tuples(st.sampled_from(["read", "delete"]), st.sampled_from(SCOPES), st.sampled_from(NAMES), st.just("")),
    ),
    max_size=30,
)
Step = tuple[str, str, str, str]
Model = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    opened = open_file(tmp_path_factory.mktemp("vault"))
    opened.migrate()
    yield opened
    opened.close()


class Ended(Exception):
    """So that nothing of an example is left."""


class Rotating:
    """A vault whose key is another after each rotation; the two before it still open."""

    def __init__(self) -> None:
        self.keks = [bytes(32)]

    def vault(self) -> SecretVault:
        return SecretVault(Sealer(self.keks))

    def rotate(self, act: Act) -> None:
        self.keks = [bytes([self.keks[0][0] + 1]) * 32, *self.keks[:1]]
        rewrap_all(act, Sealer(self.keks), lambda _: None)


def expected(model: Model, step: Step) -> object:
    """What a step must answer: an error's type, or a value. The model is then as the vault must be."""
    what, scope, name, value = step
    if what == "create":
        if scope in model:
            return AlreadyExists
        model[scope] = {}
    elif what != "rotate":
        if scope not in model or (what in {"read", "delete"} and name not in model[scope]):
            return NotFound
        match what:
            case "drop" if model[scope]:
                return FailedPrecondition
            case "drop":
                del model[scope]
            case "names":
                return sorted(model[scope])
            case "put":
                model[scope][name] = value
            case "read":
                return model[scope][name]
            case _:
                del model[scope][name]
    return None


def done(rotating: Rotating, act: Act, step: Step) -> object:
    what, scope, name, value = step
    vault = rotating.vault()
    try:
        match what:
            case "create":
                vault.create_scope(act, scope)
            case "drop":
                vault.delete_scope(act, scope)
            case "names":
                return list(vault.names(act, scope))
            case "put":
                vault.put(act, scope, name, value)
            case "read":
                return vault.read(act, scope, name)
            case "delete":
                vault.delete(act, scope, name)
            case _:
                rotating.rotate(act)
    except (AlreadyExists, FailedPrecondition, NotFound) as error:
        return type(error)
    return None


@given(STEPS)
@settings(deadline=None)
def test_the_vault_holds_what_a_dictionary_would(database: Database, steps: list[Step]) -> None:
    def example(session: Session) -> None:
        act = Act(session, shell("ada"), EVERYTHING, 0)
        rotating, model = Rotating(), Model()
        for step in steps:
            told = expected(model, step)
            assert done(rotating, act, step) == told
            assert list(rotating.vault().scopes(act)) == sorted(model)
        for scope, held in model.items():
            assert {name: rotating.vault().read(act, scope, name) for name in rotating.vault().names(act, scope)} == held
        raise Ended

    with pytest.raises(Ended):
        database.transact(example)
