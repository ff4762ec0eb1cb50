#!/bin/bash
# Tools that were installed for the user are to be found, as in a login shell.
export PATH="$HOME/.local/bin:$PATH"
[ -f "$HOME/.profile" ] && . "$HOME/.profile"

python3 -m pytest /tests/test_outputs.py -rA

if [ $? -eq 0 ]; then
  echo 1 > /logs/verifier/reward.txt
else
  echo 0 > /logs/verifier/reward.txt
fi
