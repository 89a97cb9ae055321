// The lower canvas: the image, the objects' colors, the preview of a partition, and the pixel grid.

import { word, colourOf } from "../core/color.js";
import { toned } from "./tones.js";
import { cut, regions } from "../core/partition.js";

const GRID_FROM = 10;

/** An RGBA image of all objects, kept in step with the owner map. */
export class Overlay {
  constructor() {
    this.canvas = document.createElement("canvas");
    /** @type {any} */
    this.image = null;
    this.opacity = -1;
  }

  /**
   * @param {import("../image.js").OpenImage} image @param {{labels: any[], preferences: any}} state
   */
  update(image, state) {
    const { outline, opacity: wanted } = state.preferences,
      opacity = outline ? 0 : wanted; // 0..1
    let dirty = image.paint(state);
    if (image !== this.image || opacity !== this.opacity) {
      dirty = { x: 0, y: 0, ...image.size };
      if (image !== this.image) Object.assign(this.canvas, image.size);
      this.image = image;
      this.opacity = opacity;
    }
    if (!dirty.width || !dirty.height) return;
    const pixels = new ImageData(dirty.width, dirty.height);
    image.owners?.draw(dirty, opacity, new Uint32Array(pixels.data.buffer));
    this.canvas.getContext("2d")?.putImageData(pixels, dirty.x, dirty.y);
  }
}

/** The partition that a level would give, on pixels that nothing owns yet. */
export class Partition {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.count = 0;
    this.key = "";
  }

  /**
   * @param {import("../image.js").OpenImage} image @param {number} level @param {number} revision of the document
   * @returns {boolean} whether there is a preview
   */
  update(image, level, revision) {
    const { tree, owners } = image;
    if (!tree || !owners) return false;
    const key = `${image.id} ${level} ${revision}`;
    if (key === this.key) return true;
    this.key = key;
    const nodes = cut(tree, level),
      number = regions(tree, nodes);
    const pixels = new ImageData(tree.width, tree.height),
      words = new Uint32Array(pixels.data.buffer);
    const colours = nodes.map((_, i) => word(colourOf(i * 5), 120)),
      rims = nodes.map((_, i) => word(colourOf(i * 5), 230));
    const seen = new Uint8Array(nodes.length);
    const sx = image.size.width / tree.width,
      sy = image.size.height / tree.height,
      w = tree.width;
    for (let y = 0, at = 0; y < tree.height; y++) {
      const row = Math.floor((y + 0.5) * sy) * image.size.width;
      for (let x = 0; x < w; x++, at++) {
        if (owners.owner[row + Math.floor((x + 0.5) * sx)]) continue;
        const mine = number[at];
        seen[mine] = 1;
        const rim = (x && number[at - 1] !== mine) || (y && number[at - w] !== mine);
        words[at] = rim ? rims[mine] : colours[mine];
      }
    }
    this.count = seen.reduce((sum, one) => sum + one, 0);
    Object.assign(this.canvas, { width: w, height: tree.height });
    this.canvas.getContext("2d")?.putImageData(pixels, 0, 0);
    return true;
  }
}

/**
 * @param {CanvasRenderingContext2D} context @param {import("../core/geometry.js").View} view @param {number} ratio device pixels per CSS pixel
 * @param {import("../image.js").OpenImage} image @param {HTMLCanvasElement[]} layers to lay over the image
 * @param {{canvas: ImageBitmap, box: number[]} | null} detail finer pixels of a part @param {import("./tones.js").Tones} tones
 */
export function drawBase(context, view, ratio, image, layers, detail, tones) {
  const { width, height } = image.size;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
  context.setTransform(view.scale * ratio, 0, 0, view.scale * ratio, view.x * ratio, view.y * ratio);
  context.imageSmoothingEnabled = view.scale < 3;
  context.imageSmoothingQuality = "medium";
  if (image.picture) context.drawImage(toned(image.picture, tones), 0, 0, width, height);
  if (detail)
    context.drawImage(
      toned(detail.canvas, tones),
      detail.box[0],
      detail.box[1],
      detail.box[2] - detail.box[0],
      detail.box[3] - detail.box[1],
    );
  for (const layer of layers) context.drawImage(layer, 0, 0, width, height);
  if (view.scale >= GRID_FROM) drawGrid(context, view, ratio, width, height);
}

/**
 * Thin lines between pixels, once they are large enough to be told apart.
 * @param {CanvasRenderingContext2D} context @param {import("../core/geometry.js").View} view @param {number} ratio
 * @param {number} width @param {number} height
 */
function drawGrid(context, view, ratio, width, height) {
  const screen = { width: context.canvas.width / ratio, height: context.canvas.height / ratio };
  const x1 = Math.max(Math.floor(-view.x / view.scale), 0),
    x2 = Math.min(Math.ceil((screen.width - view.x) / view.scale), width);
  const y1 = Math.max(Math.floor(-view.y / view.scale), 0),
    y2 = Math.min(Math.ceil((screen.height - view.y) / view.scale), height);
  context.beginPath();
  for (let x = x1; x <= x2; x++) {
    context.moveTo(x, y1);
    context.lineTo(x, y2);
  }
  for (let y = y1; y <= y2; y++) {
    context.moveTo(x1, y);
    context.lineTo(x2, y);
  }
  context.lineWidth = 1 / (view.scale * ratio);
  context.strokeStyle = `rgba(128,128,128,${Math.min((view.scale - GRID_FROM + 2) / 24, 0.55)})`;
  context.stroke();
}
