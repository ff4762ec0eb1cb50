"""Errors of a run."""


class RunError(Exception):
    """The run can't be made as asked: wrong use, or a task or contract that can't be used. One clear line."""
