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

/** @param {number} number @returns {string} a distinct color for any small number */
export function colourOf(number) {
  return PALETTE[((number % PALETTE.length) + PALETTE.length) % PALETTE.length];
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

/**
 * The colour an object is drawn in: its own, its label's, or one by its number.
 * @param {{id: number, colour: string | null, label: number | null}} object
 * @param {any[]} labels @returns {string}
 */
export function objectColour(object, labels) {
  return object.colour ?? labelOf(object, labels)?.colour ?? colourOf(object.id - 1);
}
