// Edges between mask and no mask, as straight runs along pixel borders.

/** @typedef {import("./tree.js").Rect} Rect */

/**
 * Border runs of a mask inside a box: x1, y1, x2, y2 for each, in pixels.
 * @param {Uint8Array} bits box.width x box.height of 0 and 1 @param {Rect} box
 * @returns {number[]} flat list, four numbers a run
 */
export function borderRuns(bits, box) {
  /** @type {number[]} */
  const runs = [];
  const { width: w, height: h } = box;
  for (let y = 0; y <= h; y++) {
    let from = -1;
    for (let x = 0; x <= w; x++) {
      const above = x < w && y > 0 ? bits[(y - 1) * w + x] : 0;
      const below = x < w && y < h ? bits[y * w + x] : 0;
      if (above !== below && from < 0) from = x;
      else if (above === below && from >= 0) {
        runs.push(box.x + from, box.y + y, box.x + x, box.y + y);
        from = -1;
      }
    }
  }
  columnRuns(bits, box, runs);
  return runs;
}

/** @param {Uint8Array} bits @param {Rect} box @param {number[]} runs */
function columnRuns(bits, box, runs) {
  const { width: w, height: h } = box;
  // one open run per column border, so that memory is still read row by row
  const open = new Int32Array(w + 1).fill(-1);
  for (let y = 0; y <= h; y++) {
    for (let x = 0; x <= w; x++) {
      const left = y < h && x > 0 ? bits[y * w + x - 1] : 0;
      const right = y < h && x < w ? bits[y * w + x] : 0;
      if (left !== right) {
        if (open[x] < 0) open[x] = y;
      } else if (open[x] >= 0) {
        runs.push(box.x + x, box.y + open[x], box.x + x, box.y + y);
        open[x] = -1;
      }
    }
  }
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
