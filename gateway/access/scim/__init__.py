"""SCIM 2.0 (RFC 7643, RFC 7644): users, groups and service accounts as identity providers keep them, over the store of access control.

resources    what is told of each, as models; `discovery` publishes their schemas
filters      filters as SQL, over `columns`; `queries` the rest of a query
kinds        what differs between `users`, `groups` and `service_accounts`; `roles` and `members` are the parts they share
reading      bodies in, `telling` JSON out; `texts` and `places` what both are made of
acts         what can be done to them, each the work of one judged act; `member_steps` the short way to what is asked most
"""
