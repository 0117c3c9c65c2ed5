"""What stands between the read path and an origin that is waited for, so that its bad days stay bearable.

    call      what the read path asks for; ends at its deadline
    attempt   one call to the origin inside; a call makes one, or a few
    retry     another attempt after one that failed, for reads alone
    hedge     a second attempt beside one that is late; the first answer is taken
    budget    how many retries and hedges there may be, as a share of calls
    lane      reads, or ingest: each with its own breaker and its own pause, for what they reach may fail apart
    pause     no call, because the origin said when to come again
    rest      no call but a probe, because too many failed (`gateway.breaker`)
    slot      leave to have an attempt under way; there are as many as the limit says
    limit     learnt from latencies: as many as the origin serves without making them wait

A call, in order: paused or resting → refused at once; a slot, or a place in the queue, or refused at once (`turnstile`); the attempt, and
where it is late the hedge; what it teaches (`limit`, `hedging`, breaker, pause); a retry, or the answer. Every module here but `origin` and
`race` decides only: no event loop, a clock and chance from outside.
"""
