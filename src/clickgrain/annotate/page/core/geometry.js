// Where the image lies on the screen. A view is {scale, x, y}: screen = image * scale + (x, y), in CSS pixels.
// Image points are (x, y) in pixels whose centres are at whole numbers + 0.5 on the canvas.

/** @typedef {{scale: number, x: number, y: number}} View */
/** @typedef {{width: number, height: number}} Size */
/** @typedef {{x: number, y: number}} Point */

export const MAX_SCALE = 64;
const MARGIN = 16;

/**
 * The largest view that shows the whole image, centred; small images grow up to four times.
 * @param {Size} image @param {Size} screen
 * @returns {View}
 */
export function fit(image, screen) {
  const room = { width: Math.max(screen.width - 2 * MARGIN, 16), height: Math.max(screen.height - 2 * MARGIN, 16) };
  const scale = Math.min(room.width / image.width, room.height / image.height, 4);
  return centred(image, screen, scale);
}

/**
 * The image at a scale, in the middle of the screen.
 * @param {Size} image @param {Size} screen @param {number} scale
 * @returns {View}
 */
export function centred(image, screen, scale) {
  return { scale, x: (screen.width - image.width * scale) / 2, y: (screen.height - image.height * scale) / 2 };
}

/**
 * Zoom by a factor while the image point under `at` stays there.
 * @param {View} view @param {number} factor @param {Point} at screen point @param {Size} image @param {Size} screen
 * @returns {View}
 */
export function zoomAt(view, factor, at, image, screen) {
  const least = Math.min(fit(image, screen).scale / 4, 1);
  const scale = Math.min(Math.max(view.scale * factor, least), MAX_SCALE);
  const ratio = scale / view.scale;
  return keepVisible({ scale, x: at.x - (at.x - view.x) * ratio, y: at.y - (at.y - view.y) * ratio }, image, screen);
}

/**
 * Move the image by screen pixels, never quite off the screen.
 * @param {View} view @param {number} dx @param {number} dy @param {Size} image @param {Size} screen
 * @returns {View}
 */
export function pan(view, dx, dy, image, screen) {
  return keepVisible({ scale: view.scale, x: view.x + dx, y: view.y + dy }, image, screen);
}

/** @param {View} view @param {Size} image @param {Size} screen @returns {View} */
function keepVisible(view, image, screen) {
  const keep = 48;
  const clamp = (/** @type {number} */ at, /** @type {number} */ length, /** @type {number} */ room) =>
    Math.min(Math.max(at, keep - length), room - keep);
  return {
    scale: view.scale,
    x: clamp(view.x, image.width * view.scale, screen.width),
    y: clamp(view.y, image.height * view.scale, screen.height),
  };
}

/** @param {View} view @param {Point} point screen point @returns {Point} canvas point of the image, not rounded */
export function toImage(view, point) {
  return { x: (point.x - view.x) / view.scale, y: (point.y - view.y) / view.scale };
}

/** @param {View} view @param {Point} point canvas point of the image @returns {Point} screen point */
export function toScreen(view, point) {
  return { x: point.x * view.scale + view.x, y: point.y * view.scale + view.y };
}

/**
 * What the screen shows of an enlarged image: XYXY pixels; null if it shows all of it, or nothing.
 * @param {View} view @param {Size} image @param {Size} screen
 * @returns {[number, number, number, number] | null}
 */
export function shown(view, image, screen) {
  const first = toImage(view, { x: 0, y: 0 }),
    last = toImage(view, { x: screen.width, y: screen.height }),
    left = Math.max(Math.floor(first.x), 0),
    top = Math.max(Math.floor(first.y), 0),
    right = Math.min(Math.ceil(last.x), image.width),
    bottom = Math.min(Math.ceil(last.y), image.height);
  if (right - left >= image.width && bottom - top >= image.height) return null;
  return left < right && top < bottom ? [left, top, right, bottom] : null;
}

/** @param {Point} point @param {Size} image @returns {boolean} */
export function inside(point, image) {
  return point.x >= 0 && point.y >= 0 && point.x < image.width && point.y < image.height;
}

/**
 * The pixel of a canvas point, held inside the image.
 * @param {Point} point @param {Size} image @returns {Point}
 */
export function pixel(point, image) {
  return {
    x: Math.min(Math.max(Math.floor(point.x), 0), image.width - 1),
    y: Math.min(Math.max(Math.floor(point.y), 0), image.height - 1),
  };
}

/**
 * XYXY box of two corners in any order, held inside the image and at least a pixel wide.
 * @param {Point} a @param {Point} b @param {Size} image
 * @returns {[number, number, number, number]}
 */
export function boxOf(a, b, image) {
  const left = Math.floor(Math.max(Math.min(a.x, b.x), 0));
  const top = Math.floor(Math.max(Math.min(a.y, b.y), 0));
  const x1 = Math.min(left, image.width - 1);
  const y1 = Math.min(top, image.height - 1);
  const x2 = Math.max(Math.ceil(Math.min(Math.max(a.x, b.x), image.width)), x1 + 1);
  const y2 = Math.max(Math.ceil(Math.min(Math.max(a.y, b.y), image.height)), y1 + 1);
  return [x1, y1, x2, y2];
}

/**
 * Leave out points of a stroke that lie closer than `spacing` to the last one kept; the last point stays.
 * @param {Point[]} points @param {number} spacing @returns {Point[]}
 */
export function thin(points, spacing) {
  if (points.length < 3) return points;
  const kept = [points[0]];
  for (const point of points.slice(1, -1)) {
    const last = kept[kept.length - 1];
    if (Math.hypot(point.x - last.x, point.y - last.y) >= spacing) kept.push(point);
  }
  kept.push(points[points.length - 1]);
  return kept;
}
