"""Explanations of everything that a verdict, a table or a message names."""

from affidavit.explain.topic import Topic, UnknownTopicError, explain, topics

__all__ = ["Topic", "UnknownTopicError", "explain", "topics"]
