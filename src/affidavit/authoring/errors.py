"""Why there is nothing to be learned."""


class LearningError(Exception):
    """No contract can be learned from these runs: one line that says which run, and why."""
