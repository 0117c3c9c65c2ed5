"""What a read costs, in counts that are the same on every machine and in every run."""
