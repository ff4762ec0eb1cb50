"""Doors to other people's harnesses; each uses the server's client and nothing else of Affidavit."""
