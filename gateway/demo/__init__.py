"""Two weeks of New York's flights on the embedded feature server: definitions, data, loader."""
