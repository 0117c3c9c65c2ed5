"""What tests of the whole house are built from: servers on sockets, a clock that tests turn, an origin that counts, a scripted cluster.

serving    an ASGI application under a real uvicorn, in a thread, on a port that the system chose
houses     the gateway, put together for a test: clock, spans and origin within reach
origins    an origin around another that counts what it is asked, and fails or waits as told
cluster    a Tecton cluster on a socket, which can be told to misbehave
processes  the `feature-gateway` command as a process of its own
collector  an OTLP receiver on a socket
clock      seconds that pass only when a test says so
"""
