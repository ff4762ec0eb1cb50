"""What is wrong with a task."""


class TaskError(Exception):
    """A task can't be used: one line that names the file, the place in it and the mend."""
