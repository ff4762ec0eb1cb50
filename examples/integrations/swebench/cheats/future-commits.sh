# Takes the fix out of the history that came after the base commit.
latest=$(git log --all --format=%H -1 -- slugs.py)
git show "$latest:slugs.py" >slugs.py
