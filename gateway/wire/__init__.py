"""The wire: JSON in, JSON out. The only room that knows how names, types and values are spelled, on both doors."""
