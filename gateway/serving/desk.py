"""What is asked beside reads: the schema of a feature service, and records to be ingested."""

import asyncio

from gateway.access.gates import Gate
from gateway.features import ServiceRef
from gateway.origins.base import IngestReply, Origin
from gateway.serving.plan import Plan
from gateway.serving.schemas import Schemas
from gateway.wire.ingest import named_workspace


class Desk:
    """`patience_s`: how long an ingest may take at the origin."""

    def __init__(self, gate: Gate, schemas: Schemas, origin: Origin, *, patience_s: float) -> None:
        self._gate = gate
        self._schemas = schemas
        self._origin = origin
        self._patience_s = patience_s

    async def plan(self, service: ServiceRef, authorization: bytes | None) -> Plan:
        """A feature service as this caller may see it: cached metadata is shown under a grant alone."""
        caller = self._gate.identify(authorization)
        self._gate.admit(caller, service.workspace)
        plan = await self._schemas.get(service, caller)
        await self._schemas.prove(service, caller)
        return plan

    async def ingest(self, body: bytes, authorization: bytes | None) -> IngestReply:
        """Records in, by the origin's rules. The gateway judges only who may write where."""
        caller = self._gate.identify(authorization)
        self._gate.admit_ingest(caller, named_workspace(body))
        return await self._origin.ingest(body, caller, asyncio.get_running_loop().time() + self._patience_s)
