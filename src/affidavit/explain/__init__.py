"""Explanations of all names in verdicts, tables and messages."""

from affidavit.explain.topic import Topic, UnknownTopicError, explain, topics

__all__ = ["Topic", "UnknownTopicError", "explain", "topics"]
