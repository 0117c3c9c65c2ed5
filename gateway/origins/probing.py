"""Asks a cluster what `discovery` wants to know: politely, a few requests at a time, each with a deadline, past the cluster's own cache."""

import asyncio
import json
from collections.abc import Callable, Sequence

from gateway.errors import GatewayError, InvalidRequest, OriginFailed, OriginTimeout
from gateway.features import UNCACHED, Caller, ReadOptions, ServiceRef, Status, ViewValues
from gateway.origins.base import Description, Fetch, FetchRow, Origin
from gateway.origins.discovery import Answer, Finding, Sample, Seen, Trial, confirmations, confirmed, judge, probes

_PAST_CACHES = ReadOptions(read_from_cache=False, write_to_cache=False)


class SampleRefused(Exception):
    """The cluster takes a sample, as it was given, for a wrong request. `number` counts from 1."""

    def __init__(self, number: int) -> None:
        super().__init__(f"sample {number} is refused")
        self.number = number


class Prober:
    """`at_once`: requests under way at most; `timeout_s`: time for each."""

    def __init__(self, origin: Origin, service: ServiceRef, caller: Caller, *, at_once: int, timeout_s: float) -> None:
        self.requests = 0
        self._origin = origin
        self._service = service
        self._caller = caller
        self._at_once = at_once
        self._timeout_s = timeout_s
        self._asked: Callable[[], object] = lambda: None

    async def describe(self) -> Description:
        """Raises what the cluster answers."""
        return await self._origin.describe(self._service, self._caller, asyncio.get_running_loop().time() + self._timeout_s)

    async def learn(self, description: Description, samples: Sequence[Sample], asked: Callable[[], object]) -> list[Finding]:
        """Sample after sample, the probes of each side by side; `asked` is called after each request. Raises SampleRefused, and what ends
        all asking: a refused credential, a cluster that is away, asks for fewer requests, or answers a sample as it is with an error."""
        self._asked = asked
        trials = [await self._trial(index, description, samples) for index in range(len(samples))]
        findings = judge(trials, [key.name for key in description.join_keys], [key.name for key in description.context_keys])
        open_questions = confirmations(findings, trials)
        answers = await self._side_by_side([one.row for one in open_questions])
        return confirmed(findings, list(zip(open_questions, answers, strict=True)))

    async def _trial(self, index: int, description: Description, samples: Sequence[Sample]) -> Trial:
        sample, asking = samples[index], list(probes(index, samples, description.context_keys))
        try:
            before = await self._ask(sample)
            answers = await self._side_by_side([probe.row for probe in asking])
            after = await self._ask(sample)
        except InvalidRequest:
            raise SampleRefused(index + 1) from None
        return Trial(sample, before, after, list(zip(asking, answers, strict=True)))

    async def _side_by_side(self, rows: Sequence[Sample]) -> list[Answer | None]:
        """After an error that ends all asking nothing more is begun; what is under way is waited for."""
        answers: list[Answer | None] = [None] * len(rows)
        waiting = iter(enumerate(rows))

        async def ask() -> None:
            try:
                for index, row in waiting:
                    answers[index] = await self._try(row)
            except GatewayError:
                for _ in waiting:
                    pass
                raise

        for ended in await asyncio.gather(*[ask() for _ in range(self._at_once)], return_exceptions=True):
            if ended is not None:
                raise ended
        return answers

    async def _try(self, row: Sample) -> Answer | None:
        """None where just this request got no answer: null may not be allowed for a key, or be more than an on-demand function can bear."""
        try:
            return await self._ask(row)
        except (InvalidRequest, OriginFailed, OriginTimeout):
            return None

    async def _ask(self, row: Sample) -> Answer:
        deadline_s = asyncio.get_running_loop().time() + self._timeout_s
        fetch = Fetch(self._service, (FetchRow(row.join_keys, row.context, frozenset()),), self._caller, deadline_s, _PAST_CACHES)
        self.requests += 1
        try:
            fetched = await self._origin.fetch(fetch)
        finally:
            self._asked()
        return seen(fetched.rows[0].views)


def seen(views: Sequence[ViewValues]) -> Answer:
    """A reply as evidence. A view whose features are not neighbours comes in parts."""
    parts: dict[str, list[ViewValues]] = {}
    for values in views:
        parts.setdefault(values.layout.view, []).append(values)
    return {view: _seen(values) for view, values in parts.items()}


def _seen(parts: Sequence[ViewValues]) -> Seen:
    statuses = [UNCACHED.get(status, status) for values in parts for status in values.statuses]
    there = [value is not None for values in parts for value in json.loads(b"[%b]" % values.positional)]
    return Seen(
        (tuple(values.positional for values in parts), tuple(statuses)) if all(values.complete for values in parts) else None,
        any(status is Status.PRESENT and is_there for status, is_there in zip(statuses, there, strict=True)),
        any(moment is not None for values in parts for moment in values.effective_times),
    )
