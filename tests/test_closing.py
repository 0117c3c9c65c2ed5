"""The application's end closes all that was opened, whichever of it fails; and so does a start that fails."""

from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import SpanProcessor

from gateway.app import Seams, create_app, open_origin
from gateway.settings import checked
from tests.harness.houses import demo_settings
from tests.harness.origins import CountingOrigin

pytestmark = pytest.mark.anyio


class Closing(SpanProcessor):
    """Spans are the last to be sent."""

    closed = False

    def shutdown(self) -> None:
        self.closed = True


class Unclosable(CountingOrigin):
    async def aclose(self) -> None:
        await super().aclose()
        raise OSError("it cannot be closed")


class Unfollowable(CountingOrigin):
    def follow(self, _forget: Callable[[], None]) -> None:  # type: ignore[override]
        raise OSError("it cannot be followed")


@pytest.mark.parametrize("kind", [Unclosable, Unfollowable])
async def test_spans_are_sent_though_the_origin_fails_at_its_end_or_at_the_start(demo_copy: Path, kind: type[CountingOrigin]) -> None:
    settings, spans = checked(demo_settings(demo_copy)), Closing()
    app = create_app(settings, Seams(origin=kind(open_origin(settings)), span_processor=spans, environment={}))
    with pytest.raises(OSError, match="it cannot be"):
        async with app.router.lifespan_context(app):
            assert not spans.closed
    assert spans.closed
