#!/bin/bash
set -euo pipefail
export LC_ALL=C
cd /workspace/backups

# Real backups as "NAME DAY FILE" lines, each name's newest first.
for file in *; do
  if [[ $file =~ ^(.+)-([0-9]{4}-[0-9]{2}-[0-9]{2})\.tar$ ]] && day=$(date -d "${BASH_REMATCH[2]}" +%F 2> /dev/null); then
    printf '%s\t%s\t%s\n' "${BASH_REMATCH[1]}" "$day" "$file"
  fi
done | sort -t $'\t' -k1,1 -k2,2r | awk -F '\t' '
  $1 != name { name = $1; kept = 0; month = "" }
  { first = substr($2, 1, 7) != month; month = substr($2, 1, 7) }
  ++kept > 5 && !first { print $3 }
' | sort > ../pruned.txt

xargs -d '\n' rm -- < ../pruned.txt
