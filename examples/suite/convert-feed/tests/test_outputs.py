"""Reads the feed and compares it with what is expected of it."""

import json
from pathlib import Path
from xml.etree import ElementTree

FEED = Path("/workspace/feed.xml")
KEY = Path(__file__).with_name("expected_items.json")


def channel():
    raw = FEED.read_bytes()
    assert b"<!DOCTYPE" not in raw
    root = ElementTree.fromstring(raw)
    assert (root.tag, root.get("version"), [child.tag for child in root]) == ("rss", "2.0", ["channel"])
    return root[0]


def test_channel():
    head = [(child.tag, child.text) for child in channel()[:3]]
    assert sorted(head) == [
        ("description", "What happened"),
        ("link", "https://yard.example/"),
        ("title", "Notes from the yard"),
    ]
    assert {child.tag for child in channel()[3:]} == {"item"}


def test_items():
    items = [
        sorted([child.tag, child.text or "", dict(child.attrib)] for child in item)
        for item in channel().findall("item")
    ]
    assert items == [sorted(item) for item in json.loads(KEY.read_text())]


def test_tags_stay_in_order():
    order = [[child.text for child in item.findall("category")] for item in channel().findall("item")]
    assert order == [["weather", "work"], ["wood", "work"], ["animals", "noise"], ["weather"], []]
