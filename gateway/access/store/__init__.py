"""The store of access control: principals, roles, credentials, sealed secrets and the audit log, in SQLite or PostgreSQL."""
