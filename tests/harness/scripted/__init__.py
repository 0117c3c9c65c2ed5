"""An origin that misbehaves byte by byte, on demand and the same way every time.

`steps`   what can be done on a connection
`scripts` faults, and the harmless oddities beside them: from a request and its right reply to steps
`load`    scripts for many requests: shares, limits, choices by request
`origin`  the server that does them, and what it was asked when
"""
