"""The edge: uvicorn's protocol class, extended. Strict framing, deadlines for everything that comes or goes, and hits answered below ASGI.

`connection` is the protocol, `limited` what keeps it within limits; `framing` reads heads and `bodies` bodies; `lanes` finds the read
doors; `spelling` is what is written here; `watch` finds what takes too long; `admission` counts connections.
"""

from gateway.web.edge.connection import Edge, edge
from gateway.web.edge.lanes import Lanes

__all__ = ["Edge", "Lanes", "edge"]
