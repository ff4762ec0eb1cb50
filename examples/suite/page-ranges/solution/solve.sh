#!/bin/bash
set -euo pipefail

cat > /workspace/src/ranges.mjs <<'JS'
const PART = /^\s*(?:(\d+)|(\d*)\s*-\s*(\d*))\s*$/;

function refuse(part, text) {
  throw Object.assign(new SyntaxError(`no page or range: ${text}`), { part });
}

/** The pages that a text like "1-3,5,8-" names, of a document whose last page is `last`. */
export function parse(text, last) {
  const pages = new Set();
  if (text.trim() === "") return [];
  for (const [index, part] of text.split(",").entries()) {
    const match = PART.exec(part) ?? refuse(index, part);
    const [, page, from, to] = match;
    if (page === undefined && from === "" && to === "") refuse(index, part);
    const first = Number(page ?? (from || 1));
    const end = Number(page ?? (to || Math.max(first, last)));
    if (first < 1 || end < first) refuse(index, part);
    for (let n = first; n <= Math.min(end, last); n++) pages.add(n);
  }
  return [...pages].sort((a, b) => a - b);
}

/** The shortest text for some pages. */
export function format(pages) {
  if (!pages.every((page) => Number.isInteger(page) && page >= 1)) throw new RangeError("pages are whole numbers from 1 on");
  const runs = [];
  for (const page of [...new Set(pages)].sort((a, b) => a - b)) {
    const run = runs.at(-1);
    if (run && run[1] === page - 1) run[1] = page;
    else runs.push([page, page]);
  }
  return runs.map(([first, end]) => (first === end ? `${first}` : `${first}-${end}`)).join(",");
}
JS

cd /tmp
node --input-type=module -e '
import { format, parse } from "/workspace/src/ranges.mjs";
if (format(parse("1-3,7-", 9)) !== "1-3,7-9") process.exit(1);
'
