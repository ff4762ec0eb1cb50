"""Doors to other people's harnesses. Those of servers use the client alone; pytest's uses the public API."""
