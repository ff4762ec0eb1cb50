"""``affidavit explain``."""

import sys
from typing import Annotated

import typer

from affidavit.cli.output import Json, fail, print_json


def explain(
    topic: Annotated[
        str | None,
        typer.Argument(
            help="A rule, operation, verdict, exploit or finding by its id, or a whole message.",
            metavar="ID",
            show_default=False,
        ),
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="List all ids.")] = False,
    as_json: Json = False,
) -> None:
    """Explain a rule, a verdict's reason, a finding, a gap or an exploit: what it means, why it matters, what to do.

    Exit status: 0 explained, 2 there is no such topic.
    """
    from affidavit.explain import UnknownTopicError, topics
    from affidavit.explain import explain as find
    from affidavit.report import print_topic, print_topics

    if (topic is None) != listed:
        fail("say what to explain: affidavit explain ID, or --list for all ids (one of them)")
    if topic is None:
        if as_json:
            print_json([one.to_json() for one in topics()])
        else:
            print_topics(topics(), sys.stdout)
        return
    try:
        found = find(topic)
    except UnknownTopicError as error:
        fail(error)
    if as_json:
        print_json(found.to_json())
    else:
        print_topic(found, sys.stdout)
