"""The embedded feature server: a small online feature store of streams, windows and feature services.

    event    one record of a stream source, as one view keeps it; timestamp and record key say which (sent again, it replaces itself)
    cell     one view's events and tiles for one set of join keys: what a store reads at one instant and changes as one
    tile     partial states of a cell's events within one interval of time; derived from them, never the truth
    slot     one state in a tile: an accumulator over a column, shared by every function and window that needs it
    window   a function of some slots over the last so many tiles, or over all time

An event's way in: `ingest` (the request) → `records` (each record, checked) → `writer` (with whoever else waits) → `materialize` (cells) →
`online` (a store). A read: `reads` (which cells) → `online` → `windows` (merge, finish) → `origin` (both spellings). Definitions come from
`folder` or Python, are held to the rules by `validation`, compiled by `catalog`, and meet what is stored in `migration`.
"""
