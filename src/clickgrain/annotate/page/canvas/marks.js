// What lies over the image: outlines, clicks, strokes, badges. All sizes are screen pixels.

/** @typedef {CanvasRenderingContext2D} Context */
/** @typedef {import("../core/geometry.js").View} View */
/** @typedef {Record<string, any>} Step */

export const POSITIVE = "#1fa971";
export const NEGATIVE = "#e0484f";

/**
 * A line that shows on any image: dark below, color above.
 * @param {Context} context in image coordinates @param {Path2D} path @param {string} colour @param {number} width @param {number} pixel size of a screen pixel
 */
export function strokeBoth(context, path, colour, width, pixel) {
  context.lineJoin = "round";
  context.lineWidth = (width + 2) * pixel;
  context.strokeStyle = "rgba(10,12,16,.55)";
  context.stroke(path);
  context.lineWidth = width * pixel;
  context.strokeStyle = colour;
  context.stroke(path);
}

/**
 * The outline of the object in hand: white between dark lines, so that it shows on any image, on black and on white.
 * @param {Context} context in image coordinates @param {Path2D} path @param {number} pixel size of a screen pixel
 */
export function strokeActive(context, path, pixel) {
  context.lineJoin = "round";
  for (const [width, colour] of /** @type {[number, string][]} */ ([
    [5, "#0a0c10"],
    [2.5, "#fff"],
  ])) {
    context.lineWidth = width * pixel;
    context.strokeStyle = colour;
    context.stroke(path);
  }
}

/** @param {Context} context in screen coordinates @param {number} x @param {number} y @param {number} label @param {boolean} near the pointer is on it */
export function drawClick(context, x, y, label, near) {
  const radius = near ? 8 : 6;
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = label ? POSITIVE : NEGATIVE;
  context.fill();
  context.lineWidth = 2;
  context.strokeStyle = "#fff";
  context.stroke();
  context.beginPath();
  const arm = near ? 3 : 2.5;
  if (near) line(context, x - arm, y - arm, x + arm, y + arm, x + arm, y - arm, x - arm, y + arm);
  else if (label) line(context, x - arm, y, x + arm, y, x, y - arm, x, y + arm);
  else line(context, x - arm, y, x + arm, y);
  context.lineWidth = 1.6;
  context.stroke();
}

/** @param {Context} context @param {...number} points x1, y1, x2, y2 for each line */
function line(context, ...points) {
  for (let i = 0; i < points.length; i += 4) {
    context.moveTo(points[i], points[i + 1]);
    context.lineTo(points[i + 2], points[i + 3]);
  }
}

/** @param {Context} context @param {{x: number, y: number}} a @param {{x: number, y: number}} b screen corners */
export function drawBox(context, a, b) {
  const corner = [Math.min(a.x, b.x), Math.min(a.y, b.y), Math.abs(a.x - b.x), Math.abs(a.y - b.y)];
  context.lineWidth = 3;
  context.strokeStyle = "rgba(10,12,16,.5)";
  context.strokeRect(corner[0], corner[1], corner[2], corner[3]);
  context.lineWidth = 1.5;
  context.strokeStyle = "#fff";
  context.setLineDash([6, 4]);
  context.strokeRect(corner[0], corner[1], corner[2], corner[3]);
  context.setLineDash([]);
}

/**
 * @param {Context} context in image coordinates @param {{x: number, y: number}[]} points @param {string} colour @param {number} width image pixels
 */
export function drawStroke(context, points, colour, width) {
  context.beginPath();
  context.lineCap = context.lineJoin = "round";
  context.moveTo(points[0].x, points[0].y);
  for (const point of points) context.lineTo(point.x, point.y);
  if (points.length === 1) context.lineTo(points[0].x + 1e-3, points[0].y);
  context.lineWidth = width;
  context.strokeStyle = colour;
  context.stroke();
}

/** @param {Context} context in screen coordinates @param {number} x @param {number} y @param {string} text @param {string} colour */
export function drawBadge(context, x, y, text, colour) {
  context.beginPath();
  context.arc(x, y, 11, 0, 2 * Math.PI);
  context.fillStyle = colour;
  context.fill();
  context.lineWidth = 2;
  context.strokeStyle = "#fff";
  context.stroke();
  context.fillStyle = "#fff";
  context.font = "600 13px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(text, x, y + 0.5);
}

/** @param {Context} context @param {number} x @param {number} y screen point of the keyboard's pointer */
export function drawPointer(context, x, y) {
  for (const [width, colour] of /** @type {[number, string][]} */ ([
    [4, "rgba(10,12,16,.6)"],
    [1.5, "#fff"],
  ])) {
    context.beginPath();
    line(context, x - 14, y, x - 4, y, x + 4, y, x + 14, y, x, y - 14, x, y - 4, x, y + 4, x, y + 14);
    context.lineCap = "round";
    context.lineWidth = width;
    context.strokeStyle = colour;
    context.stroke();
  }
}

/** @param {Context} context @param {number} x @param {number} y @param {number} radius screen pixels */
export function drawBrush(context, x, y, radius) {
  for (const [width, colour] of /** @type {[number, string][]} */ ([
    [3, "rgba(10,12,16,.5)"],
    [1.25, "#fff"],
  ])) {
    context.beginPath();
    context.arc(x, y, Math.max(radius, 1.5), 0, 2 * Math.PI);
    context.lineWidth = width;
    context.strokeStyle = colour;
    context.stroke();
  }
}

/**
 * Where a step shows a mark that can be dragged, in image pixels.
 * @param {Step} step @returns {{x: number, y: number} | null}
 */
export function markOf(step) {
  if (step.type === "click" || step.type === "region") return { x: step.x + 0.5, y: step.y + 0.5 };
  if (step.type === "box") return { x: step.box[0], y: step.box[1] };
  return null;
}
