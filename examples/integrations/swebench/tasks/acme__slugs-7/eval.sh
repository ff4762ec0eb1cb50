#!/bin/bash
set -uxo pipefail
cd /testbed
git apply -v - <<'END_OF_TESTS'
diff --git a/tests/test_edges.py b/tests/test_edges.py
new file mode 100644
index 0000000..63d325c
--- /dev/null
+++ b/tests/test_edges.py
@@ -0,0 +1,5 @@
+from slugs import slugify
+
+
+def test_no_hyphen_at_the_ends():
+    assert slugify(" (Draft) ") == "draft"
diff --git a/tests/test_slugs.py b/tests/test_slugs.py
index 25d74b5..a0d204b 100644
--- a/tests/test_slugs.py
+++ b/tests/test_slugs.py
@@ -3,3 +3,11 @@ from slugs import slugify
 
 def test_spaces_become_hyphens():
     assert slugify("Hello big World") == "hello-big-world"
+
+
+def test_words_stay_as_they_are():
+    assert slugify("plain") == "plain"
+
+
+def test_punctuation_gives_one_hyphen():
+    assert slugify("Rock & roll, again") == "rock-roll-again"
END_OF_TESTS
: '>>>>> Start Test Output'
python3 -m pytest -rA tests/test_slugs.py tests/test_edges.py
: '>>>>> End Test Output'
