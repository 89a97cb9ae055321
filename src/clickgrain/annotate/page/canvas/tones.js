// Brightness, contrast and gamma of the view; the pixels that clicks are answered on stay as they are.

/**
 * @typedef {{brightness: number, contrast: number, gamma: number, window: number[] | null}} Tones brightness and contrast
 * -1..1; window: the values of a deep file that are shown black and white, null for those that clicks are answered on
 */

/** @type {Tones} */
export const NEUTRAL = { brightness: 0, contrast: 0, gamma: 1, window: null };

/** What was made of a picture last. @type {WeakMap<CanvasImageSource, {key: string, canvas: HTMLCanvasElement}>} */
const MADE = new WeakMap();

/** @param {Tones} tones @returns {Uint8Array} what each of 256 values becomes */
export function curve({ brightness, contrast, gamma }) {
  const slope = contrast < 0 ? 1 + contrast : 1 / (1 - 0.96 * contrast);
  return Uint8Array.from({ length: 256 }, (_, value) => {
    const linear = (value / 255 - 0.5) * slope + 0.5 + brightness;
    return Math.round(255 * Math.min(Math.max(linear, 0), 1) ** (1 / gamma));
  });
}

/** @param {ImageBitmap} picture @param {Tones} tones @returns {ImageBitmap | HTMLCanvasElement} the picture as it is looked at */
export function toned(picture, tones) {
  const { brightness, contrast, gamma } = tones,
    key = `${brightness} ${contrast} ${gamma}`,
    made = MADE.get(picture);
  if (key === "0 0 1") return picture;
  if (made?.key === key) return made.canvas;
  const canvas = made?.canvas ?? document.createElement("canvas"),
    { width, height } = Object.assign(canvas, { width: picture.width, height: picture.height }),
    context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  context.drawImage(picture, 0, 0);
  const pixels = context.getImageData(0, 0, width, height),
    { data } = pixels,
    becomes = curve(tones);
  for (let i = 0; i < data.length; i += 4) for (let k = i; k < i + 3; k++) data[k] = becomes[data[k]];
  context.putImageData(pixels, 0, 0);
  MADE.set(picture, { key, canvas });
  return canvas;
}
