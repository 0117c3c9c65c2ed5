"""`python -m gateway` is `feature-gateway`."""

from gateway.cli import main

main(prog_name="feature-gateway")
