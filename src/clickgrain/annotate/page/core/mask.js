// Masks as bits in a bounding box. They travel as "CGM1": run lengths over the box, row by row, background first.

/** @typedef {import("./tree.js").Rect} Rect */
/** @typedef {{box: Rect, bits: Uint8Array}} Bits */

/** @type {Bits} */
export const EMPTY = { box: { x: 0, y: 0, width: 0, height: 0 }, bits: new Uint8Array(0) };

/** @param {number} x1 @param {number} y1 @param {number} x2 @param {number} y2 @returns {Rect} */
export function rect(x1, y1, x2, y2) {
  return { x: x1, y: y1, width: x2 - x1, height: y2 - y1 };
}

/**
 * Bits of a CGM1 record: magic, then uint32 height, width, x1, y1, x2, y2, count, runs, little endian.
 * @param {ArrayBuffer} buffer @returns {Bits}
 */
export function decode(buffer) {
  const view = new DataView(buffer);
  if (view.byteLength < 32 || view.getUint32(0, true) !== MAGIC) throw new Error("this is no mask");
  const at = (/** @type {number} */ i) => view.getUint32(4 + 4 * i, true);
  const box = rect(at(2), at(3), at(4), at(5)),
    bits = new Uint8Array(box.width * box.height);
  for (let i = 0, pixel = 0, count = at(6); i < count; i++) {
    const run = at(7 + i);
    if (i % 2) bits.fill(1, pixel, pixel + run);
    pixel += run;
  }
  return { box, bits };
}

const MAGIC = 0x314d4743; // "CGM1"

/** @param {string} text base64 @returns {ArrayBuffer} */
export function fromBase64(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
}

/** @param {Bits} mask @returns {number} pixels */
export function count({ bits }) {
  let sum = 0;
  for (let i = 0; i < bits.length; i++) sum += bits[i];
  return sum;
}

/** @param {Bits | null | undefined} mask @param {number} x @param {number} y @returns {boolean} */
export function holds(mask, x, y) {
  if (!mask) return false;
  const dx = x - mask.box.x,
    dy = y - mask.box.y;
  return dx >= 0 && dy >= 0 && dx < mask.box.width && dy < mask.box.height && mask.bits[dy * mask.box.width + dx] === 1;
}

/** @param {Rect} a @param {Rect} b @returns {Rect} the smallest box around both; empty boxes count for nothing */
export function around(a, b) {
  if (!a.width || !a.height) return b;
  if (!b.width || !b.height) return a;
  const x1 = Math.min(a.x, b.x),
    y1 = Math.min(a.y, b.y);
  return rect(x1, y1, Math.max(a.x + a.width, b.x + b.width), Math.max(a.y + a.height, b.y + b.height));
}

/** @param {Rect} a @param {Rect} b @returns {Rect} what both cover; width or height 0 when nothing */
export function common(a, b) {
  const x1 = Math.max(a.x, b.x),
    y1 = Math.max(a.y, b.y);
  const x2 = Math.min(a.x + a.width, b.x + b.width),
    y2 = Math.min(a.y + a.height, b.y + b.height);
  return rect(x1, y1, Math.max(x1, x2), Math.max(y1, y2));
}
