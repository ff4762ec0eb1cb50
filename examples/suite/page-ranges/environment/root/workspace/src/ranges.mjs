/** The pages that a text like "1-3,5,8-" names, of a document whose last page is `last`. */
export function parse(text, last) {
  throw new Error("not written yet");
}

/** The shortest text for some pages. */
export function format(pages) {
  throw new Error("not written yet");
}
