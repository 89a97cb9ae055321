// The cut of a tree at a level: regions that cover every pixel and do not overlap.

/** @typedef {import("./tree.js").Tree} Tree */

/**
 * Nodes whose level is at most `level` and whose parent's is above it.
 * @param {Tree} tree @param {number} level @returns {number[]}
 */
export function cut(tree, level) {
  const wanted = Math.fround(level);
  const nodes = [];
  for (let node = 0; node <= tree.root; node++) {
    const up = tree.parent[node];
    if (tree.levels[node] <= wanted && (up < 0 || tree.levels[up] > wanted) && tree.pixels[node]) nodes.push(node);
  }
  return nodes;
}

/**
 * For every pixel of the leaf map the number, from 0, of the region it lies in.
 * @param {Tree} tree @param {number[]} nodes of a cut @returns {Uint32Array}
 */
export function regions(tree, nodes) {
  const ofRank = new Uint32Array(tree.n);
  nodes.forEach((node, i) => ofRank.fill(i, tree.start[node], tree.start[node] + tree.area[node]));
  const out = new Uint32Array(tree.rank.length);
  for (let i = 0; i < out.length; i++) out[i] = ofRank[tree.rank[i]];
  return out;
}
