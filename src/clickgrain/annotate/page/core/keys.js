// Which key does what. A combination is written "Ctrl+Shift+Z"; the user's own choices are laid over these.

/** @typedef {{id: string, group: string, title: string, keys: string[]}} Command */

/** @type {Command[]} */
export const COMMANDS = [
  { id: "undo", group: "History", title: "Undo", keys: ["Ctrl+Z"] },
  { id: "redo", group: "History", title: "Redo", keys: ["Ctrl+Shift+Z", "Ctrl+Y"] },
  { id: "click", group: "Tools", title: "Click tool", keys: ["C"] },
  { id: "box", group: "Tools", title: "Box tool", keys: ["X"] },
  { id: "scribble", group: "Tools", title: "Scribble tool", keys: ["S"] },
  { id: "brush", group: "Tools", title: "Brush", keys: ["B"] },
  { id: "eraser", group: "Tools", title: "Eraser", keys: ["E"] },
  { id: "polygon", group: "Tools", title: "Corners: the object as a polygon", keys: ["P"] },
  { id: "hand", group: "Tools", title: "Move the image (or hold Space)", keys: ["H"] },
  { id: "smaller", group: "Tools", title: "Smaller brush", keys: ["Shift+["] },
  { id: "larger", group: "Tools", title: "Larger brush", keys: ["Shift+]"] },
  { id: "levelUp", group: "Level", title: "Larger region", keys: ["]", "PageUp"] },
  { id: "levelDown", group: "Level", title: "Smaller region", keys: ["[", "PageDown"] },
  { id: "pointerLeft", group: "Pointer", title: "Pointer left", keys: ["ArrowLeft"] },
  { id: "pointerRight", group: "Pointer", title: "Pointer right", keys: ["ArrowRight"] },
  { id: "pointerUp", group: "Pointer", title: "Pointer up", keys: ["ArrowUp"] },
  { id: "pointerDown", group: "Pointer", title: "Pointer down", keys: ["ArrowDown"] },
  { id: "positive", group: "Pointer", title: "Click: add this to the object", keys: ["Space"] },
  { id: "negative", group: "Pointer", title: "Click: this does not", keys: ["Shift+Space"] },
  { id: "choose1", group: "Object", title: "First outline on offer", keys: ["Shift+1"] },
  { id: "choose2", group: "Object", title: "Second outline on offer", keys: ["Shift+2"] },
  { id: "choose3", group: "Object", title: "Third outline on offer", keys: ["Shift+3"] },
  { id: "finish", group: "Object", title: "Finish the object", keys: ["Enter"] },
  { id: "cancel", group: "Object", title: "Let go", keys: ["Escape"] },
  { id: "dropClick", group: "Object", title: "Delete the last click", keys: ["Backspace"] },
  { id: "remove", group: "Object", title: "Delete the object", keys: ["Delete"] },
  { id: "label", group: "Object", title: "Label the object", keys: ["L"] },
  { id: "copy", group: "Object", title: "Copy the chosen objects, or all", keys: ["Ctrl+C"] },
  { id: "paste", group: "Object", title: "Paste, snapped to this image", keys: ["Ctrl+V"] },
  { id: "duplicate", group: "Object", title: "Duplicate", keys: ["Ctrl+D"] },
  { id: "copyOn", group: "Object", title: "Copy the chosen objects, or all, to the next image", keys: ["Shift+D"] },
  { id: "carry", group: "Object", title: "Carry the object on through the next images; again: stop", keys: ["T"] },
  { id: "merge", group: "Object", title: "Merge the chosen objects", keys: ["Shift+M"] },
  { id: "split", group: "Object", title: "Split in two", keys: ["Shift+P"] },
  { id: "nextUnlabelled", group: "Object", title: "Next object without a label", keys: ["Shift+U"] },
  { id: "previousObject", group: "Object", title: "Previous object", keys: ["K"] },
  { id: "nextObject", group: "Object", title: "Next object", keys: ["J"] },
  { id: "selectAll", group: "Object", title: "Choose all objects", keys: ["Ctrl+A"] },
  { id: "toggleLock", group: "Object", title: "Lock or unlock", keys: ["Shift+L"] },
  { id: "toggleHide", group: "Object", title: "Hide or show", keys: ["Shift+H"] },
  { id: "raise", group: "Object", title: "Bring forward", keys: ["Shift+ArrowUp"] },
  { id: "lower", group: "Object", title: "Send back", keys: ["Shift+ArrowDown"] },
  { id: "fit", group: "View", title: "Fit the image", keys: ["F", "0"] },
  { id: "actual", group: "View", title: "Actual pixels", keys: ["Shift+F"] },
  { id: "zoomIn", group: "View", title: "Zoom in", keys: ["+", "="] },
  { id: "zoomOut", group: "View", title: "Zoom out", keys: ["-"] },
  { id: "fainter", group: "View", title: "Fainter masks", keys: [","] },
  { id: "stronger", group: "View", title: "Stronger masks", keys: ["."] },
  { id: "peek", group: "View", title: "Hide all objects while held", keys: ["V"] },
  { id: "negate", group: "View", title: "Show what a negative click would take away, while held", keys: ["N"] },
  { id: "previousImage", group: "Images", title: "Previous image", keys: ["A"] },
  { id: "nextImage", group: "Images", title: "Next image", keys: ["D"] },
  { id: "done", group: "Images", title: "Mark the image as done, open the next", keys: ["Ctrl+Enter"] },
  { id: "checked", group: "Images", title: "Mark the image as checked, open the next", keys: ["Shift+Enter"] },
  { id: "sendBack", group: "Images", title: "Send the image back with a note", keys: ["Shift+B"] },
  { id: "search", group: "Images", title: "Search the image list", keys: ["/"] },
  { id: "same", group: "More", title: "Find the same, here; again: in other images", keys: ["M"] },
  { id: "whole", group: "More", title: "Whole image", keys: ["W"] },
  { id: "learn", group: "More", title: "Learn from this folder", keys: ["Shift+N"] },
  { id: "statistics", group: "More", title: "Statistics", keys: ["Shift+S"] },
  { id: "export", group: "More", title: "Export and import", keys: ["Shift+E"] },
  { id: "help", group: "More", title: "These keys", keys: ["?"] },
];

/**
 * The combination of a keyboard event, such as "Ctrl+Shift+Z"; "" for a modifier alone. Command counts as Ctrl.
 * @param {{key: string, code?: string, ctrlKey: boolean, metaKey: boolean, shiftKey: boolean, altKey: boolean}} event
 * @returns {string}
 */
export function combination(event) {
  if (["Control", "Shift", "Alt", "Meta", "AltGraph", "Dead", "Unidentified"].includes(event.key)) return "";
  const name = keyName(event);
  const letter = /^[A-Z0-9]$/.test(name) || name.length > 1 || BRACKETS.includes(name);
  const parts = [];
  if (event.ctrlKey || event.metaKey) parts.push("Ctrl");
  if (event.altKey) parts.push("Alt");
  // the shift that it takes to type "?" or "+" is part of the character, not of the combination
  if (event.shiftKey && letter) parts.push("Shift");
  return [...parts, name].join("+");
}

const BRACKETS = ["[", "]"];

/** @param {{key: string, code?: string, shiftKey: boolean}} event */
function keyName(event) {
  if (event.key === " ") return "Space";
  if (event.shiftKey && event.code === "BracketLeft") return "[";
  if (event.shiftKey && event.code === "BracketRight") return "]";
  // "!" and the like: with Shift these choose outlines, whatever the keyboard has on them
  if (event.shiftKey && /^Digit[123]$/.test(event.code ?? "")) return /** @type {string} */ (event.code).slice(-1);
  if (event.shiftKey && /^Digit\d$/.test(event.code ?? "") && /^\d$/.test(event.key)) return event.key;
  return event.key.length === 1 ? event.key.toUpperCase() : event.key;
}

/**
 * Combination to command, with the user's choices in place of the defaults.
 * @param {Record<string, string[]>} own command id to combinations
 * @returns {Map<string, string>}
 */
export function bindings(own) {
  const map = new Map();
  for (const command of COMMANDS) {
    for (const keys of own[command.id] ?? command.keys) if (!map.has(keys)) map.set(keys, command.id);
  }
  return map;
}

/**
 * The keys of labels, in their order: 1 to 9, then the letters that no command has.
 * @param {{id: number}[]} labels @param {Map<string, string>} taken combinations of commands
 * @returns {Map<string, number>} key to label
 */
export function labelKeys(labels, taken) {
  const free = [..."123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"].filter((key) => !taken.has(key));
  return new Map(free.slice(0, labels.length).map((key, i) => [key, labels[i].id]));
}

/**
 * Give a combination to a command and take it from whichever had it.
 * @param {Record<string, string[]>} own @param {string} id @param {string} keys
 * @returns {Record<string, string[]>} the user's choices afterwards
 */
export function rebind(own, id, keys) {
  const next = { ...own };
  for (const command of COMMANDS) {
    const now = next[command.id] ?? command.keys;
    if (command.id !== id && now.includes(keys)) next[command.id] = now.filter((each) => each !== keys);
  }
  next[id] = [keys];
  return next;
}

/**
 * The keys of a command, for the screen.
 * @param {Record<string, string[]>} own @param {string} id @returns {string[]}
 */
export function keysOf(own, id) {
  return own[id] ?? COMMANDS.find((command) => command.id === id)?.keys ?? [];
}

const SIGNS = /** @type {Record<string, string>} */ ({
  ArrowLeft: "←",
  ArrowRight: "→",
  ArrowUp: "↑",
  ArrowDown: "↓",
  Escape: "Esc",
  Delete: "Del",
  Backspace: "⌫",
  Enter: "↵",
  PageUp: "PgUp",
  PageDown: "PgDn",
});

/** @param {string} keys @returns {string[]} the caps to draw */
export function caps(keys) {
  const parts = keys === "+" ? ["+"] : keys.endsWith("++") ? [...keys.slice(0, -2).split("+"), "+"] : keys.split("+");
  return parts.map((part) => SIGNS[part] ?? part);
}
