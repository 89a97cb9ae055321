// Elements in one line.

/** Whether fingers point. */
export const TOUCH = matchMedia("(pointer: coarse)").matches;

/**
 * An element: `on*` properties are listeners, `style` an object, null and false leave an attribute out.
 * @param {string} tag @param {Record<string, any> | null} [properties] @param {...any} children
 * @returns {any}
 */
export function h(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) set(element, name, value);
  element.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

/** @param {any} element @param {string} name @param {any} value */
export function set(element, name, value) {
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (name === "style") for (const [key, each] of Object.entries(value)) element.style.setProperty(key, each);
  else if (["value", "checked", "disabled", "hidden", "indeterminate", "selected"].includes(name))
    element[name] = value;
  else if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else element.setAttribute(name, value === true ? "" : String(value));
}

/** @param {string} id @returns {any} an element of index.html */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no element #${id}`);
  return element;
}

/** @param {Element} element @param {...any} children */
export function fill(element, ...children) {
  element.replaceChildren(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
}

const TAIL = 7;

/**
 * A name that is cut in the middle where there is little room, whole on hover: its end often tells it from others.
 * @param {Element} element to fill @param {string} name @param {string} [title] what hovering says, if not the name
 */
export function nameIn(element, name, title = name) {
  const head = name.length > 2 * TAIL ? name.length - TAIL : name.length;
  fill(element, h("span", null, name.slice(0, head)), h("span", null, name.slice(head)));
  element.classList.add("cut");
  element.setAttribute("title", title);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** Drawn on a 20 x 20 grid with round strokes. */
const PATHS = /** @type {Record<string, string>} */ ({
  click: "M5 3l10 6-4.5 1.2L8 15z",
  box: "M4 4h3M9 4h2M13 4h3v3M16 9v2M16 13v3h-3M11 16H9M7 16H4v-3M4 11V9M4 7V4",
  scribble: "M3 13c2-6 4-8 5-6s-3 7-1 7 4-8 6-8-1 6 0 7 3-1 4-3",
  brush: "M12.5 9.5L17 3l-6.5 4.5M10 8l2 2-3 4c-1 2-4 2.5-6 2 1.5-1 1-3.5 3-4.5z",
  eraser: "M8 16h9M4 12l7-8 5 4.5L9 16H6.5L4 13.5z",
  polygon: "M4 14L7 4l9 3-2 9zM4 14v.1M7 4v.1M16 7v.1M14 16v.1",
  hand: "M6.5 10V5.5a1.2 1.2 0 012.4 0V9V4a1.2 1.2 0 012.4 0v5V5a1.2 1.2 0 012.4 0v6c0 4-2 6-4.7 6-2.2 0-3.2-1.2-5.2-5 -.6-1.2 1-2.2 2-1z",
  undo: "M7 4L3 8l4 4M3.5 8H12a4.5 4.5 0 010 9H9",
  redo: "M13 4l4 4-4 4M16.5 8H8a4.5 4.5 0 000 9h3",
  fit: "M3 7V3h4M13 3h4v4M17 13v4h-4M7 17H3v-4",
  plus: "M10 4v12M4 10h12",
  minus: "M4 10h12",
  close: "M5 5l10 10M15 5L5 15",
  eye: "M2 10c3-5 13-5 16 0-3 5-13 5-16 0zM10 12.2a2.2 2.2 0 100-4.4 2.2 2.2 0 000 4.4z",
  eyeoff: "M3 3l14 14M5 6.5C3.8 7.4 2.8 8.6 2 10c3 5 9 5.6 12.5 3.4M8.5 6.3C12 5.8 16 7 18 10c-.5.8-1 1.5-1.7 2",
  lock: "M5 9h10v7H5zM7 9V6.5a3 3 0 016 0V9",
  unlock: "M5 9h10v7H5zM7 9V6.5a3 3 0 015.6-1.5",
  trash: "M4 6h12M8 6V4h4v2M6 6l.7 10h6.6L14 6",
  merge: "M4 4c0 5 6 4 6 12M16 4c0 5-6 4-6 12",
  split: "M10 4c0 6-6 5-6 12M10 4c0 6 6 5 6 12",
  up: "M5 12l5-5 5 5",
  down: "M5 8l5 5 5-5",
  left: "M12 5l-5 5 5 5",
  right: "M8 5l5 5-5 5",
  same: "M3 4h6v6H3zM11 10h6v6h-6zM12 4h4M14 2v4M4 14l1.5 1.5L8 13",
  whole: "M3 3h14v14H3zM3 9l6-1 2 4 6-2M9 8l1-5M11 12l-2 5",
  learn: "M10 3v3M10 14v3M3 10h3M14 10h3M5 5l2 2M13 13l2 2M15 5l-2 2M7 13l-2 2",
  chart: "M4 16V9M9 16V4M14 16v-5M3 16h14",
  export: "M10 3v9M6.5 6L10 3l3.5 3M4 12v4h12v-4",
  help: "M7.5 7.5a2.5 2.5 0 113.6 2.2c-.8.4-1.1.9-1.1 1.8M10 14.5v.2",
  images: "M3 4h14v12H3zM3 13l4-4 3 3 3-2 4 4M13 7.5v.1",
  list: "M4 5h12M4 10h12M4 15h12",
  check: "M4 10.5l4 4 8-9",
  search: "M9 14A5 5 0 109 4a5 5 0 000 10zM13 13l4 4",
  more: "M5 10v.1M10 10v.1M15 10v.1",
  dot: "M10 10v.1",
  warn: "M10 3l8 14H2zM10 8v4M10 14.5v.1",
});

/** @param {string} name @returns {SVGElement} */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg"),
    path = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", PATHS[name] ?? "");
  svg.append(path);
  return svg;
}
