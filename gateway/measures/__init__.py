"""What is measured, in plain numbers: noted where it happens, told when somebody looks. Knows nothing of how it is told.

A histogram is a list of counts; a service's reads are a handful of these. No label holds anything that no schema has confirmed.
"""
