"""The embedded feature server: a small online feature store of streams, windows and feature services.

    event    one record of a stream source; its record key and timestamp say which (a record sent again replaces it)
    member   an event as one feature view counts it, under that view's join keys
    tile     a view's partial states for one set of join keys and one interval of time; derived from members, never the truth
    slot     one state in a tile: an accumulator over a column, shared by every function and window that needs it
    window   a function of some slots over the last so many whole tiles

An event's way in: `ingest` (the request) → `records` (each record, checked) → `materialize` (events, members, tiles) → `online` (one
durable transaction). A read: `engine` (which tiles) → `online` (one snapshot) → `windows` (merge, finish) → `origin` (both spellings).
"""
