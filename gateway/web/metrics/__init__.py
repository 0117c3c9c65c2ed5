"""The gateway's metrics: which families there are, what each worker tells of them, and how all of it is spelled for Prometheus.

    families      the table: every family's name, kind, labels and meaning
    reads         what is told of reads, from the book; `house` of the rest of the house; `process` of the process
    teller        one worker's report, and those of all workers (`siblings`)
    exposition    reports as text; `negotiation`: in which of the formats
    scrape        the doors

Nothing is added to on the way of a read but the plain numbers of `measures` and `counters`; the rest happens when somebody asks. No label
holds anything but names that a schema has confirmed, and words of the gateway's own.
"""
