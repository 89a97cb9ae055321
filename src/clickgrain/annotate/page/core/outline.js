// The outlines of masks.

/** @typedef {import("./tree.js").Rect} Rect */

const DX = [1, 0, -1, 0],
  DY = [0, 1, 0, -1];
/** The pixels ahead of a corner, right and left of the way, for the ways right, down, left, up. */
const RIGHT = [
    [0, 0],
    [-1, 0],
    [-1, -1],
    [0, -1],
  ],
  LEFT = [
    [0, -1],
    [0, 0],
    [-1, 0],
    [-1, -1],
  ];

/**
 * Closed outlines of a mask, clockwise, holes counter-clockwise. They go through the middles of the pixels' sides, so
 * that stairs look like the slopes they stand for, and hold the centres of exactly the mask's pixels.
 * @param {Uint8Array} bits box.width x box.height of 0 and 1 @param {Rect} box
 * @returns {number[][]} x, y, x, y ... of each, in pixels
 */
export function outlines(bits, box) {
  const { width: w, height: h } = box,
    inside = (/** @type {number} */ x, /** @type {number} */ y) =>
      x >= 0 && y >= 0 && x < w && y < h && bits[y * w + x] === 1,
    seen = new Uint8Array(w * h), // pixels whose upper side was walked along
    found = [];
  for (let at = 0; at < seen.length; at++) {
    if (!bits[at] || seen[at] || (at >= w && bits[at - w])) continue;
    const points = [];
    let x = at % w,
      y = (at - x) / w,
      way = 0,
      turned = true;
    while (way || !seen[y * w + x]) {
      if (!way) seen[y * w + x] = 1;
      const middle = [box.x + x + DX[way] / 2, box.y + y + DY[way] / 2];
      x += DX[way];
      y += DY[way];
      const right = inside(x + RIGHT[way][0], y + RIGHT[way][1]),
        turn = right ? (inside(x + LEFT[way][0], y + LEFT[way][1]) ? 3 : 0) : 1;
      if (turned || turn) points.push(...middle);
      turned = turn !== 0;
      way = (way + turn) % 4;
    }
    found.push(points);
  }
  return found;
}

/**
 * A pixel well inside a mask, for a badge: the middle of the longest run of the middle row that has one.
 * @param {Uint8Array} bits @param {Rect} box @returns {{x: number, y: number} | null}
 */
export function anchor(bits, box) {
  const { width: w, height: h } = box;
  for (let k = 0; k < h; k++) {
    const y = (h >> 1) + (k % 2 ? -((k + 1) >> 1) : k >> 1);
    if (y < 0 || y >= h) continue;
    let best = 0,
      at = -1,
      run = 0;
    for (let x = 0; x < w; x++) {
      run = bits[y * w + x] ? run + 1 : 0;
      if (run > best) [best, at] = [run, x - run / 2 + 0.5];
    }
    if (best) return { x: box.x + at, y: box.y + y };
  }
  return null;
}
