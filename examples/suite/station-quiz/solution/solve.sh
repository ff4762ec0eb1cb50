#!/bin/bash
set -euo pipefail

# q2: burnt down in 1971, replaced two years later. q3: 24 less three lost. q4: 71.3 m/s. q6: six in winter, 20 litres.
# q7: Anouk on 2 May, then by the alphabet.
cat > /workspace/answers.json <<'JSON'
{
  "q1": "1962-09-03",
  "q2": 1973,
  "q3": 21,
  "q4": 256.7,
  "q5": "Mast B",
  "q6": 120,
  "q7": "Hugo",
  "q8": ["masts"],
  "q9": 1,
  "q10": null
}
JSON
python3 -m json.tool /workspace/answers.json > /dev/null
