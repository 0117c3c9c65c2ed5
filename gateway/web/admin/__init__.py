"""The administrative doors: who may do what, and what was done. Each act itself is `access`'s."""
