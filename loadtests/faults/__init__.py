"""`python -m loadtests.faults`: the gateway through its bad days, one after the other, each with figures and a verdict.

A real `feature-gateway serve` stands before a scripted origin, each in a process of its own, and is read in open loop: requests leave by a
schedule, whatever becomes of those before them. What is read is checked, value by value.

`verdicts`  what was measured, what was promised, and whether it holds
`stage`     the two processes, and reads of them
`outages`   an origin that is dead, slow, failing, throttling, half-open
`cuts`      replies cut at every byte; callers who go away
`pressure`  three times what the origin can do
`attacks`   clients that mean harm
`busy`      what else the machine does meanwhile
`leaving`   instances that are stopped, one after the other, behind a proxy
"""
