#!/bin/bash
set -euo pipefail
export GIT_AUTHOR_NAME=agent GIT_AUTHOR_EMAIL=agent@example.org
export GIT_COMMITTER_NAME=agent GIT_COMMITTER_EMAIL=agent@example.org

cd /workspace
git clone --quiet project.bundle project
cd project

git bisect start main v1.0 > /dev/null
git bisect run python3 check_slug.py > /dev/null
culprit=$(git rev-parse refs/bisect/bad)
git bisect reset > /dev/null 2>&1

git log -1 --format=%H%n%an%n%s "$culprit" | python3 -c '
import json, sys
commit, author, subject = sys.stdin.read().splitlines()
print(json.dumps({"commit": commit, "author": author, "subject": subject}))' > /workspace/culprit.json

git revert --no-edit "$culprit" > /dev/null
python3 check_slug.py
