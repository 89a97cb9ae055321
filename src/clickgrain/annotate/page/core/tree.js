// The merge tree of one image as the page holds it, so that hovering needs no request.
// Every node is one slice of the leaf order; a pixel belongs to a node when the rank of its leaf lies in that slice.

/** @typedef {{x: number, y: number, width: number, height: number}} Rect half-open, in pixels of the leaf map */

/** A step of the wheel goes to the next region on the path that is at least this much larger. */
const STEP = 1.3;

/**
 * @typedef {object} TreeParts
 * @property {Int32Array} start n of 2n-1: where the leaves of every node begin in the leaf order
 * @property {Int32Array} area leaves of every node
 * @property {Int32Array} parent -1 at the root, which is the last node
 * @property {Int32Array} children two nodes for each of the n-1 merges; merge i makes node n+i
 * @property {Float32Array} level 0 at leaves .. 1 at the root
 * @property {Uint16Array | Int32Array} map leaf of every pixel of the leaf map, row by row
 * @property {number} width of the leaf map @property {number} height of the leaf map
 * @property {{width: number, height: number}} image size of the image
 */

export class Tree {
  /** @param {TreeParts} parts */
  constructor(parts) {
    this.n = (parts.parent.length + 1) / 2;
    this.root = 2 * this.n - 2;
    this.start = parts.start;
    this.area = parts.area;
    this.parent = parts.parent;
    this.children = parts.children;
    this.levels = parts.level;
    this.leafMap = parts.map;
    this.width = parts.width;
    this.height = parts.height;
    this.image = parts.image;
    /** Rank in the leaf order of the leaf of every pixel. */
    this.rank = new Uint32Array(this.leafMap.length);
    for (let i = 0; i < this.rank.length; i++) this.rank[i] = this.start[this.leafMap[i]];
    const nodes = 2 * this.n - 1;
    /** Pixels of every node, and its bounding box. */
    this.pixels = new Int32Array(nodes);
    this.left = new Int32Array(nodes).fill(this.width);
    this.top = new Int32Array(nodes).fill(this.height);
    this.right = new Int32Array(nodes);
    this.bottom = new Int32Array(nodes);
    this.#measure();
  }

  /** Count and bound: leaves first, then up the tree. */
  #measure() {
    const { width, height, leafMap } = this;
    for (let y = 0, i = 0; y < height; y++) {
      for (let x = 0; x < width; x++, i++) {
        const leaf = leafMap[i];
        this.pixels[leaf]++;
        if (x < this.left[leaf]) this.left[leaf] = x;
        if (x >= this.right[leaf]) this.right[leaf] = x + 1;
        if (y < this.top[leaf]) this.top[leaf] = y;
        if (y >= this.bottom[leaf]) this.bottom[leaf] = y + 1;
      }
    }
    for (let i = 0; i < this.n - 1; i++) this.#join(this.n + i, this.children[2 * i], this.children[2 * i + 1]);
  }

  /** @param {number} node @param {number} a @param {number} b */
  #join(node, a, b) {
    this.pixels[node] = this.pixels[a] + this.pixels[b];
    this.left[node] = Math.min(this.left[a], this.left[b]);
    this.top[node] = Math.min(this.top[a], this.top[b]);
    this.right[node] = Math.max(this.right[a], this.right[b]);
    this.bottom[node] = Math.max(this.bottom[a], this.bottom[b]);
  }

  /** @param {number} node @returns {number} 0 (finest) .. 1 (whole image) */
  level(node) {
    return this.levels[node];
  }

  /** @param {number} x @param {number} y pixel of the image @returns {number} */
  leafAt(x, y) {
    const column = Math.floor((x * this.width) / this.image.width);
    const row = Math.floor((y * this.height) / this.image.height);
    return this.leafMap[Math.min(row, this.height - 1) * this.width + Math.min(column, this.width - 1)];
  }

  /** @param {number} node @param {number} x @param {number} y pixel of the image @returns {boolean} */
  holds(node, x, y) {
    const rank = this.start[this.leafAt(x, y)] - this.start[node];
    return rank >= 0 && rank < this.area[node];
  }

  /** @param {number} leaf @returns {number[]} nodes from the leaf to the root */
  path(leaf) {
    const path = [leaf];
    for (let node = this.parent[leaf]; node >= 0; node = this.parent[node]) path.push(node);
    return path;
  }

  /**
   * The largest node over a leaf whose level is at most `level`.
   * @param {number} leaf @param {number} level @returns {number}
   */
  nodeAt(leaf, level) {
    level = Math.fround(level);
    let node = leaf;
    for (let up = this.parent[node]; up >= 0 && this.levels[up] <= level; up = this.parent[up]) node = up;
    return node;
  }

  /**
   * The next clearly larger (`direction` > 0) or smaller region over a leaf.
   * @param {number} leaf @param {number} node a node on the leaf's path @param {number} direction
   * @returns {number}
   */
  step(leaf, node, direction) {
    const path = this.path(leaf),
      here = path.indexOf(node);
    if (here < 0) return node;
    const size = Math.max(this.pixels[node], 1);
    if (direction > 0) {
      for (let i = here + 1; i < path.length; i++) if (this.pixels[path[i]] >= STEP * size) return path[i];
      return this.root;
    }
    for (let i = here - 1; i >= 0; i--) if (this.pixels[path[i]] * STEP <= size) return path[i];
    return leaf;
  }

  /** @param {number} node @returns {Rect} bounding box; empty for a node without pixels */
  box(node) {
    const width = this.right[node] - this.left[node],
      height = this.bottom[node] - this.top[node];
    return { x: this.left[node], y: this.top[node], width: Math.max(width, 0), height: Math.max(height, 0) };
  }

  /**
   * The pixels of a node inside its bounding box, 1 where they belong to it.
   * @param {number} node @returns {{box: Rect, bits: Uint8Array}}
   */
  mask(node) {
    const box = this.box(node),
      bits = new Uint8Array(box.width * box.height);
    const first = this.start[node],
      count = this.area[node];
    for (let y = 0, to = 0; y < box.height; y++) {
      let from = (box.y + y) * this.width + box.x;
      for (let x = 0; x < box.width; x++, from++, to++) {
        // unsigned difference: one comparison tells whether the rank lies in the slice
        if ((this.rank[from] - first) >>> 0 < count) bits[to] = 1;
      }
    }
    return { box, bits };
  }
}

/**
 * The tree in a "CGH1" record (little endian, arrays at multiples of four bytes).
 * @param {ArrayBuffer} buffer @returns {Tree}
 */
export function decodeTree(buffer) {
  const head = new Uint32Array(buffer, 0, 8);
  if (head[0] !== MAGIC) throw new Error("this is no tree");
  const n = head[1] * head[2],
    [imageHeight, imageWidth, height, width] = head.subarray(3, 7);
  let at = 32;
  const take = (/** @type {any} */ kind, /** @type {number} */ length) => {
    const array = new kind(buffer, at, length);
    at += Math.ceil(array.byteLength / 4) * 4;
    return array;
  };
  take(Int32Array, n); // the leaf order: a leaf's own place in it is its start
  const [start, area, parent] = [0, 0, 0].map(() => take(Int32Array, 2 * n - 1));
  const children = take(Int32Array, 2 * n - 2),
    level = take(Float32Array, 2 * n - 1);
  const map = take(n <= 65535 ? Uint16Array : Int32Array, width * height);
  const image = { width: imageWidth, height: imageHeight };
  return new Tree({ start, area, parent, children, level, map, width, height, image });
}

const MAGIC = 0x31484743; // "CGH1"
