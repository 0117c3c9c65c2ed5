"""SCIM 2.0 (RFC 7643, RFC 7644): users, groups and service accounts as identity providers keep them, over the store of access control.

resources    what is told of each, as models; `discovery` publishes their schemas
filters      filters as SQL; `queries` the rest of a query
kinds        what there is of each: its rows, its columns, how it is told and written; `roles` and `members` the parts they share
acts         what can be done to them, each inside one judged act
"""
