#!/bin/bash
set -euo pipefail

python3 - <<'PY'
import json
from datetime import datetime, timezone
from email.utils import format_datetime
from pathlib import Path
from xml.etree import ElementTree as tree

SITE = "https://yard.example/"

posts = {}
for number, line in enumerate(Path("/workspace/posts.jsonl").read_text("utf-8").splitlines()):
    post = json.loads(line)
    posts.pop(post["slug"], None)
    posts[post["slug"]] = (datetime.fromisoformat(post["at"]).astimezone(timezone.utc), number, post)

root = tree.Element("rss", version="2.0")
channel = tree.SubElement(root, "channel")
for name, text in (("title", "Notes from the yard"), ("link", SITE), ("description", "What happened")):
    tree.SubElement(channel, name).text = text
for at, _, post in sorted(posts.values(), key=lambda entry: entry[:2], reverse=True):
    if post.get("draft"):
        continue
    item = tree.SubElement(channel, "item")
    tree.SubElement(item, "title").text = post["title"].strip()
    tree.SubElement(item, "link").text = SITE + post["slug"]
    tree.SubElement(item, "guid", isPermaLink="true").text = SITE + post["slug"]
    tree.SubElement(item, "pubDate").text = format_datetime(at)
    for tag in dict.fromkeys(post["tags"]):
        tree.SubElement(item, "category").text = tag
    tree.SubElement(item, "description").text = post["text"]
tree.ElementTree(root).write("/workspace/feed.xml", encoding="utf-8", xml_declaration=True)
PY
