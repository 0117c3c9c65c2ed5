"""The edge: uvicorn's protocol class, extended. Strict framing, deadlines for everything that comes or goes, and hits answered below ASGI.

`connection` is the protocol; `framing` says where requests begin and end; `lanes` finds the read doors; `watch` ends what takes too long;
`admission` counts connections.
"""

from gateway.web.edge.connection import Edge, edge
from gateway.web.edge.lanes import Lanes

__all__ = ["Edge", "Lanes", "edge"]
