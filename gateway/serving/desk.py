"""What is asked beside reads: the schema of a feature service, records to be ingested, and values to be forgotten."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

from gateway.access.gates import Gate
from gateway.errors import GatewayError
from gateway.features import Caller, Purge, ServiceRef
from gateway.measures.book import Book
from gateway.origins.base import IngestReply, Origin
from gateway.serving.plan import Plan
from gateway.serving.purging import Purger, of_service
from gateway.serving.schemas import Schemas
from gateway.wire.ingest import read_purpose

DecodePurge = Callable[[bytes], Purge]


class Desk:
    """`patience_s`: how long an ingest may take at the origin."""

    def __init__(self, gate: Gate, schemas: Schemas, origin: Origin, purger: Purger, book: Book, *, patience_s: float) -> None:
        self._gate = gate
        self._schemas = schemas
        self._origin = origin
        self._purger = purger
        self._book = book
        self.patience_s = patience_s

    async def plan(self, service: ServiceRef, authorization: bytes | None) -> Plan:
        """A feature service as this caller may see it: cached metadata is shown under a grant alone."""
        caller = self._gate.identify(authorization)
        self._gate.admit(caller, service.workspace)
        plan = await self._schemas.get(service, caller)
        await self._schemas.prove(service, caller)
        return plan

    async def ingest(self, body: bytes, authorization: bytes | None) -> IngestReply:
        """Records in, by the origin's rules. The gateway judges only who may write where.

        Once this has returned, no read through this gateway is answered from what was cached before the write. An ingest that fails or is
        late may have been stored all the same: it was not acknowledged, so nothing is promised, and nothing is purged. What is cached then
        stays within its TTL.
        """
        caller = self._gate.identify(authorization)
        workspace, dry = read_purpose(body)
        self._gate.admit_ingest(caller, workspace, dry=dry)
        reply = await self._ingested(body, caller)
        if 200 <= reply.status < 300:
            await self._purger.ingested(reply.written, workspace)
        return reply

    async def _ingested(self, body: bytes, caller: Caller) -> IngestReply:
        began_s = time.perf_counter()
        try:
            reply = await self._origin.ingest(body, caller, asyncio.get_running_loop().time() + self.patience_s)
        except GatewayError as error:
            self._book.call("ingest", time.perf_counter() - began_s, error)
            raise
        self._book.call("ingest", time.perf_counter() - began_s)
        return reply

    async def purge_service(self, service: ServiceRef, body: bytes, decode: DecodePurge, authorization: bytes | None) -> int:
        """What of a feature service's views is to be forgotten, for whom its schema may be shown to."""
        caller = self._gate.identify(authorization)
        self._gate.admit_purge(caller, service.workspace, service)
        asked = decode(body)
        plan = await self._schemas.get(service, caller)
        await self._schemas.prove(service, caller)
        return await self._purger.purge(of_service(plan, asked))

    async def purge(self, workspace: str | None, body: bytes, decode: DecodePurge, authorization: bytes | None) -> int:
        """The same over a whole workspace; None: over all."""
        caller = self._gate.identify(authorization)
        self._gate.admit_purge(caller, workspace, None)
        return await self._purger.purge(replace(decode(body), workspace=workspace))
