"""Where events and tiles are kept: the seam (`base`) and its stores."""
