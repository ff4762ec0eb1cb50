import assert from "node:assert/strict";
import { test } from "node:test";
import { format, parse } from "/workspace/src/ranges.mjs";

test("parse reads numbers and ranges", () => {
  assert.deepEqual(parse("1-3,5,8-9", 20), [1, 2, 3, 5, 8, 9]);
  assert.deepEqual(parse(" 4 , 6 - 7 ", 20), [4, 6, 7]);
  assert.deepEqual(parse("", 20), []);
});

test("parse orders and merges", () => {
  assert.deepEqual(parse("10,5-6,2-5", 20), [2, 3, 4, 5, 6, 10]);
  assert.deepEqual(parse("3,3,3-3", 20), [3]);
});

test("parse keeps to the last page", () => {
  assert.deepEqual(parse("38-", 40), [38, 39, 40]);
  assert.deepEqual(parse("-2,39-99,77", 40), [1, 2, 39, 40]);
  assert.deepEqual(parse("5-", 3), []);
});

test("parse refuses what is none", () => {
  const position = 2;
  for (const wrong of ["0", "4-2", "x", "1--2", "-", "1.5", "", "2 3"]) {
    assert.throws(() => parse(`1,2,${wrong}`, 9), (error) => error instanceof SyntaxError && error.part === position);
  }
});

test("format writes runs as ranges", () => {
  assert.equal(format([1, 2, 3, 5, 7, 8]), "1-3,5,7-8");
  assert.equal(format([]), "");
  assert.equal(format([12]), "12");
});

test("format takes any order", () => {
  const pages = [9, 4, 2, 3, 2, 9];
  assert.equal(format(pages), "2-4,9");
  assert.deepEqual(pages, [9, 4, 2, 3, 2, 9]);
});

test("format refuses what is no page", () => {
  const refused = RangeError;
  for (const wrong of [0, -1, 1.5, NaN, Infinity, "3", null]) {
    assert.throws(() => format([1, wrong]), refused);
  }
});

test("both ways", () => {
  const step = 7;
  const pages = Array.from({ length: 30 }, (_, n) => n * step + (n % 3)).map((page) => page + 1);
  assert.deepEqual(parse(format(pages), 500), pages);
  assert.equal(pages.at(-1), 206);
});
