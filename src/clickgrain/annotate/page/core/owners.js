// Which object every pixel belongs to, and an RGBA image of that.

/** @typedef {import("./tree.js").Rect} Rect */
/** @typedef {import("./mask.js").Bits} Bits */
/** @typedef {{id: number, bits: Bits | null, colour: string, hidden: boolean, locked: boolean}} Layer bottom first */

import { around, common, holds } from "./mask.js";
import { word } from "./color.js";

export class Owners {
  /** @param {number} width @param {number} height of the image */
  constructor(width, height) {
    this.width = width;
    this.height = height;
    /** Place in `layers` plus one of the object that a pixel belongs to, 0 for none. */
    this.owner = new Uint16Array(width * height);
    /** @type {Layer[]} */
    this.layers = [];
  }

  /**
   * Take the objects as they are now.
   * @param {Layer[]} layers bottom first @returns {Rect} what may look different
   */
  update(layers) {
    const ordered = [...layers.filter((layer) => !layer.locked), ...layers.filter((layer) => layer.locked)];
    const dirty = this.#difference(ordered);
    this.layers = ordered;
    this.#assign(dirty);
    return dirty;
  }

  /** @param {Layer[]} next */
  #difference(next) {
    let dirty = { x: 0, y: 0, width: 0, height: 0 };
    for (let i = 0; i < Math.max(next.length, this.layers.length); i++) {
      const a = this.layers[i],
        b = next[i];
      if (a && b && a.id === b.id && a.bits === b.bits && a.colour === b.colour && a.hidden === b.hidden) continue;
      for (const layer of [a, b]) if (layer?.bits) dirty = around(dirty, layer.bits.box);
    }
    return dirty;
  }

  /** @param {Rect} dirty */
  #assign(dirty) {
    const { width, owner } = this;
    for (let y = dirty.y; y < dirty.y + dirty.height; y++) {
      owner.fill(0, y * width + dirty.x, y * width + dirty.x + dirty.width);
    }
    this.layers.forEach((layer, i) => {
      if (!layer.bits) return;
      const { box, bits } = layer.bits,
        part = common(box, dirty);
      for (let y = part.y; y < part.y + part.height; y++) {
        let from = (y - box.y) * box.width + part.x - box.x,
          to = y * width + part.x;
        for (let x = 0; x < part.width; x++, from++, to++) if (bits[from]) owner[to] = i + 1;
      }
    });
  }

  /** @param {number} x @param {number} y @returns {number | null} id of the topmost object there that is not hidden */
  at(x, y) {
    return this.layers.findLast((layer) => !layer.hidden && holds(layer.bits, x, y))?.id ?? null;
  }

  /** Part of all pixels that belong to something, 0..1. */
  covered() {
    let sum = 0;
    for (let i = 0; i < this.owner.length; i++) if (this.owner[i]) sum++;
    return sum / this.owner.length;
  }

  /**
   * RGBA words of a part of the image: fill with `alpha`, borders stronger.
   * @param {Rect} part @param {number} alpha 0..1 @param {Uint32Array} out part.width x part.height
   */
  draw(part, alpha, out) {
    const { owner, width, height } = this;
    const edge = Math.min(alpha + 0.4, 1) * (alpha ? 1 : 0);
    const shown = this.layers.map((layer) => (layer.hidden ? 0 : word(layer.colour, Math.round(255 * alpha))));
    const rim = this.layers.map((layer) => (layer.hidden ? 0 : word(layer.colour, Math.round(255 * edge))));
    for (let y = part.y, to = 0; y < part.y + part.height; y++) {
      for (let x = part.x; x < part.x + part.width; x++, to++) {
        const at = y * width + x,
          mine = owner[at];
        if (!mine) {
          out[to] = 0;
          continue;
        }
        const inner =
          (x === 0 || owner[at - 1] === mine) &&
          (x === width - 1 || owner[at + 1] === mine) &&
          (y === 0 || owner[at - width] === mine) &&
          (y === height - 1 || owner[at + width] === mine);
        out[to] = inner ? shown[mine - 1] : rim[mine - 1];
      }
    }
  }
}
