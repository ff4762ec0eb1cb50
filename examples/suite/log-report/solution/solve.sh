#!/bin/bash
set -euo pipefail

cat > /workspace/report.sh <<'SH'
#!/bin/bash
set -euo pipefail
export LC_ALL=C

if [ $# -ne 1 ]; then
  echo "usage: report.sh LOGFILE" >&2
  exit 2
fi
if [ ! -f "$1" ] || [ ! -r "$1" ]; then
  echo "report.sh: cannot read $1" >&2
  exit 2
fi

# One line per good request: client, hour, path, status, size; the number of bad lines comes last.
good='^[^ ]+ [^ ]+ [^ ]+ \[[0-9][0-9]/[A-Z][a-z][a-z]/[0-9][0-9][0-9][0-9]:[0-9][0-9]:[0-9][0-9]:[0-9][0-9] [-+][0-9]+\] "[^ "]+ [^ "]+ [^ "]+" [0-9][0-9][0-9] ([0-9]+|-)( .*)?$'
records=$(awk -v good="$good" '
  BEGIN {
    split("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec", names, " ")
    for (i = 1; i <= 12; i++) month[names[i]] = sprintf("%02d", i)
  }
  $0 !~ good { bad++; next }
  {
    day = substr($4, 2, 2); mon = substr($4, 5, 3); year = substr($4, 9, 4); hour = substr($4, 14, 2)
    path = $7; sub(/\?.*/, "", path)
    print $1, year "-" month[mon] "-" day "T" hour, path, $9, ($10 == "-" ? 0 : $10)
  }
  END { print "malformed", bad + 0 }
' "$1")
requests=$(sed '$d' <<< "$records")

if [ -z "$requests" ]; then
  printf 'requests 0\nclients 0\nbytes 0\n'
else
  echo "requests $(wc -l <<< "$requests")"
  echo "clients $(cut -d' ' -f1 <<< "$requests" | sort -u | wc -l)"
  awk '{ sum += $5 } END { printf "bytes %.0f\n", sum }' <<< "$requests"
  cut -d' ' -f4 <<< "$requests" | sort | uniq -c | awk '{ print "status", $2, $1 }'
  cut -d' ' -f3 <<< "$requests" | sort | uniq -c | sort -k1,1nr -k2,2 | awk 'NR <= 3 { print "top", $1, $2 }'
  cut -d' ' -f2 <<< "$requests" | sort | uniq -c | sort -k1,1nr -k2,2 | awk 'NR == 1 { print "busiest", $2, $1 }'
fi
tail -n 1 <<< "$records"
SH
chmod 755 /workspace/report.sh

cd /workspace
./report.sh access.log | diff expected.txt -
