#!/bin/bash
set -euo pipefail

cat > /workspace/sort.sh <<'SH'
#!/bin/bash
[ $# -gt 0 ] || { echo "usage: sort.sh FILE …" >&2; exit 2; }
for path in "$@"; do
  [ -f "$path" ] && [ -r "$path" ] || { echo "$path: can't be read" >&2; exit 2; }
done

perl -e '
my $status = 0;
for my $path (@ARGV) {
  open my $file, "<", $path or exit 2;
  local $/;
  my ($head, $body) = split /\n\n|^\n/, <$file>, 2;
  my (%headers, $last);
  for my $line (split /\n/, $head // "") {
    if ($line =~ /^[ \t]+(.*)/) { $headers{$last} .= " $1" if defined $last && defined $headers{$last}; next; }
    next unless $line =~ /^([^:\s]+)\s*:\s*(.*?)\s*$/;
    # Of several the first counts: what continues another is dropped with it.
    if (exists $headers{lc $1}) { $last = undef; next; }
    $last = lc $1;
    $headers{$last} = $2;
  }
  my ($from, $subject, $score) = map { $headers{$_} // "" } qw(from subject x-spam-score);
  my $links = () = ($body // "") =~ m{https?://}g;
  my $bad = $from !~ /\@/
    || $subject =~ /\b(?:winner|urgent|invoice)\b/i && $from !~ /\@example\.org>?\s*$/
    || $links >= 3
    || $score =~ /^\s*[0-9]+(?:\.[0-9]+)?\s*$/ && $score >= 5;
  print $bad ? "reject\n" : "accept\n";
  $status = 1 if $bad;
}
exit $status;
' "$@"
SH
chmod +x /workspace/sort.sh
cd /workspace
[ "$(./sort.sh mail/accept/*)" = "$(printf 'accept\naccept\naccept')" ]
[ "$(./sort.sh mail/reject/* || true)" = "$(printf 'reject\nreject\nreject')" ]
