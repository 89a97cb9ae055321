// A mask as rings of corners, and back by the server. A ring is a list of [x, y] in pixels; pixel 0 reaches from 0 to 1.

import { outlines } from "./outline.js";

/** @typedef {[number, number]} Corner */

/**
 * The rings of a mask, holes too, with as few corners as stay within a distance of its outline.
 * @param {import("./mask.js").Bits} mask @param {number} tolerance pixels @returns {Corner[][]}
 */
export function rings({ bits, box }, tolerance) {
  return outlines(bits, box)
    .map((flat) => simplified(pairs(flat), tolerance))
    .filter((ring) => ring.length > 2);
}

/** @param {number[]} flat @returns {Corner[]} */
function pairs(flat) {
  return Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i], flat[2 * i + 1]]);
}

/**
 * Douglas and Peucker (1973) on a closed ring, begun at two corners that are far apart.
 * @param {Corner[]} ring @param {number} tolerance @returns {Corner[]}
 */
export function simplified(ring, tolerance) {
  const far = (/** @type {Corner} */ [x, y]) =>
    ring.reduce((best, corner, i) => (dist(corner, x, y) > dist(ring[best], x, y) ? i : best), 0);
  const first = far(ring[0]),
    turned = [...ring.slice(first), ...ring.slice(0, first), ring[first]],
    keep = new Set([0]);
  const split = (/** @type {number} */ a, /** @type {number} */ b) => {
    let most = tolerance,
      at = -1;
    for (let i = a + 1; i < b; i++) {
      const off = toSegment(turned[i], turned[a], turned[b]).distance;
      if (off > most) [most, at] = [off, i];
    }
    if (at < 0) return void keep.add(b);
    split(a, at);
    split(at, b);
  };
  const second = turned.reduce((best, corner, i) => (dist(corner, ...turned[0]) > dist(turned[best], ...turned[0]) ? i : best), 0);
  split(0, second);
  split(second, turned.length - 1);
  keep.delete(turned.length - 1);
  return [...keep].sort((a, b) => a - b).map((i) => turned[i]);
}

/** @param {Corner} corner @param {number} x @param {number} y */
const dist = ([a, b], x, y) => Math.hypot(a - x, b - y);

/** @param {Corner} p @param {Corner} a @param {Corner} b @returns {{distance: number}} of p from the segment a b */
export function toSegment([x, y], [ax, ay], [bx, by]) {
  const length = (bx - ax) ** 2 + (by - ay) ** 2,
    t = length ? Math.min(Math.max(((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length, 0), 1) : 0;
  return { distance: Math.hypot(x - ax - t * (bx - ax), y - ay - t * (by - ay)) };
}
