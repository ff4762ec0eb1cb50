# Honest: a first script that is wrong, compared with the example, then a better one; tried in /tmp before it is put in place.
cd /workspace
printf '#!/bin/sh\nwc -l < "$1"\n' > report.sh
chmod +x report.sh
./report.sh access.log | cmp -s - expected.txt || echo 'not yet'

cat > /tmp/try.sh <<'EOF'
#!/bin/bash
export LC_ALL=C
[ $# -eq 1 ] || { echo "one log file, please" >&2; exit 2; }
[ -f "$1" ] && exec < "$1" || { echo "$0: no log: $1" >&2; exit 2; }

awk '
function good() {
  return $0 ~ /^[^ ]+ [^ ]+ [^ ]+ \[[0-9]+\/[A-Z][a-z]+\/[0-9]+(:[0-9]+)+ [-+][0-9]+\] "[^ "]+ [^ "]+ [^ "]+" [0-9][0-9][0-9] ([0-9]+|-)( |$)/
}
!good() { malformed++; next }
{
  requests++
  clients[$1]
  split($7, parts, "?")
  paths[parts[1]]++
  statuses[$9]++
  bytes += ($10 == "-") ? 0 : $10
  split(substr($4, 2), time, /[\/:]/)
  month = (index("JanFebMarAprMayJunJulAugSepOctNovDec", time[2]) + 2) / 3
  hours[sprintf("%s-%02d-%sT%s", time[3], month, time[1], time[4])]++
}
END {
  for (client in clients) different++
  printf "1 requests %d\n2 clients %d\n3 bytes %.0f\n", requests, different, bytes
  for (status in statuses) printf "4 status %s %d\n", status, statuses[status]
  for (path in paths) printf "5 top %d %s\n", paths[path], path
  for (hour in hours) printf "6 busiest %s %d\n", hour, hours[hour]
  printf "7 malformed %d\n", malformed
}' > "${TMPDIR:-/tmp}/report.$$"
trap 'rm -f "${TMPDIR:-/tmp}/report.$$"' EXIT

pick() { grep "^$1 " "${TMPDIR:-/tmp}/report.$$" | cut -d' ' -f2-; }
pick 1; pick 2; pick 3
pick 4 | sort
pick 5 | sort -k2,2nr -k3 | head -n 3
pick 6 | sort -k3,3nr -k2,2 | head -n 1
pick 7
EOF
chmod +x /tmp/try.sh
for attempt in 1 2 3; do
  /tmp/try.sh access.log | diff expected.txt - || exit 1
done
/tmp/try.sh; /tmp/try.sh /nowhere; : > /tmp/none; /tmp/try.sh /tmp/none
cp /tmp/try.sh report.sh
