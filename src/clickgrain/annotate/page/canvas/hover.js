// The region under the pointer, found in the page's own copy of the tree.

import { anchor, outlines } from "../core/outline.js";
import { word } from "../core/color.js";

/** @typedef {import("../core/tree.js").Tree} Tree */
/** @typedef {import("../core/tree.js").Rect} Rect */

/** @param {import("../core/mask.js").Bits} mask @returns {Path2D} */
export function pathOf({ bits, box }) {
  const path = new Path2D();
  for (const points of outlines(bits, box)) {
    path.moveTo(points[0], points[1]);
    for (let i = 2; i < points.length; i += 2) path.lineTo(points[i], points[i + 1]);
    path.closePath();
  }
  return path;
}

/** @type {WeakMap<object, {path: Path2D, anchor: {x: number, y: number} | null}>} */
const OUTLINES = new WeakMap();

/** @param {import("../core/mask.js").Bits} mask @returns {{path: Path2D, anchor: {x: number, y: number} | null}} */
export function outlineOf(mask) {
  let there = OUTLINES.get(mask);
  if (!there) {
    there = { path: pathOf(mask), anchor: anchor(mask.bits, mask.box) };
    OUTLINES.set(mask, there);
  }
  return there;
}

/**
 * A mask as pixels of one colour, at the left top of a canvas.
 * @param {import("../core/mask.js").Bits} mask @param {number} paint see `word` @param {HTMLCanvasElement} [canvas] to use again
 * @returns {HTMLCanvasElement}
 */
export function filled({ box, bits }, paint, canvas = document.createElement("canvas")) {
  if (!box.width || !box.height) return canvas;
  if (canvas.width < box.width || canvas.height < box.height) {
    canvas.width = Math.max(canvas.width, box.width);
    canvas.height = Math.max(canvas.height, box.height);
  }
  const pixels = new ImageData(box.width, box.height),
    words = new Uint32Array(pixels.data.buffer);
  for (let i = 0; i < bits.length; i++) if (bits[i]) words[i] = paint;
  canvas.getContext("2d")?.putImageData(pixels, 0, 0);
  return canvas;
}

export class Hover {
  constructor() {
    /** @type {Tree | null} */
    this.tree = null;
    this.node = -1;
    this.leaf = -1;
    /** @type {Rect} */
    this.box = { x: 0, y: 0, width: 0, height: 0 };
    /** @type {Path2D | null} */
    this.path = null;
    this.canvas = document.createElement("canvas");
  }

  clear() {
    this.node = this.leaf = -1;
    this.path = null;
  }

  /**
   * Look at a pixel of the image.
   * @param {Tree} tree @param {number} x @param {number} y @param {number} level wanted
   * @returns {boolean} whether there is something new to draw
   */
  look(tree, x, y, level) {
    const leaf = tree.leafAt(x, y),
      node = tree.nodeAt(leaf, level);
    this.leaf = leaf;
    if (tree === this.tree && node === this.node) return false;
    this.tree = tree;
    this.node = node;
    const mask = tree.mask(node);
    this.box = mask.box;
    this.path = pathOf(mask);
    this.canvas = filled(mask, word("#ffffff", 82), this.canvas);
    return true;
  }

  /** Pixels of the region, as a part of the image, 0..1. */
  share() {
    return this.tree && this.node >= 0 ? this.tree.pixels[this.node] / this.tree.rank.length : 0;
  }
}
