"""Load tests and benchmarks. Everything here talks to this machine alone, for a bounded time."""
