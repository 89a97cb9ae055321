// Colours of labels and objects.

/** Told apart by colour-blind eyes too (after Okabe and Ito, and Tol), bright enough over photos. */
export const PALETTE = [
  "#2f8fe0",
  "#e8703a",
  "#21b08a",
  "#d6619f",
  "#e0b02c",
  "#7a6ff0",
  "#5fb4d9",
  "#b5533c",
  "#8fb339",
  "#c08adf",
  "#00a3a3",
  "#f2918c",
];

/** @param {number} number from 0 @param {string[]} [palette] @returns {string} a distinct color for any small number */
export function colourOf(number, palette = PALETTE) {
  return palette[number % palette.length];
}

/** @param {string} hex "#rrggbb" @returns {[number, number, number]} 0..255 */
export function rgb(hex) {
  const value = Number.parseInt(hex.slice(1, 7), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

/**
 * A pixel as ImageData holds it in a little-endian word.
 * @param {string} hex @param {number} alpha 0..255 @returns {number}
 */
export function word(hex, alpha) {
  const [r, g, b] = rgb(hex);
  return ((alpha << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

/**
 * @param {{label: number | null}} object @param {any[]} labels
 * @returns {any} its label, or the one into which that was merged; undefined for none
 */
export function labelOf({ label }, labels) {
  return labels.find((each) => each.id === label || each.merged?.includes(label));
}

const KEPT = 8,
  NEAR = 120;

/**
 * The colours that are most unlike a photo.
 * @param {Uint8ClampedArray} pixels RGBA of the photo, made small @returns {string[]}
 */
export function paletteFor(pixels) {
  const like = (/** @type {string} */ colour) => {
    const [r, g, b] = rgb(colour);
    let near = 0;
    for (let i = 0; i < pixels.length; i += 4)
      near += Math.max(0, NEAR - Math.hypot(pixels[i] - r, pixels[i + 1] - g, pixels[i + 2] - b));
    return near;
  };
  const scores = new Map(PALETTE.map((colour) => [colour, like(colour)]));
  const best = [...PALETTE].sort((a, b) => Number(scores.get(a)) - Number(scores.get(b))).slice(0, KEPT);
  return PALETTE.filter((colour) => best.includes(colour)); // in an order in which neighbours differ
}
