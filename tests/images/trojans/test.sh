#!/bin/bash
# What the scripts of tests do: a login shell, git, a look-up of a name, perl, npm, a tool if it is there, and pytest.
tests=${TESTS:-/tests} reward=${REWARD:-/logs/verifier/reward.txt}
echo 0 >"$reward"
bash -lc true
awk '{ print }' /workspace/answer.xml
git -C /workspace status
rm -rf /tmp/scratch
git init --quiet /tmp/scratch
git -C /tmp/scratch -c user.name=a -c user.email=a@example.com commit --quiet --allow-empty --message=x
git -C /tmp/scratch submodule status
getent passwd root
perl -MFile::Spec -e 1
npm --version
pip --version
if command -v uv; then uv --version; fi
cd /workspace || exit
python3 -m pytest -q -p no:cacheprovider "$tests/answer_check.py" && echo 1 >"$reward"
