"""Affidavit: runs an agent in a sandbox, records what it did from outside, and signs what it saw."""
