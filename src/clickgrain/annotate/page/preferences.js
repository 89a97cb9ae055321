// What this browser remembers for its user: keys, opacity, how the wheel behaves. Never annotations.

const KEY = "clickgrain.preferences";

export const DEFAULTS = { keys: {}, opacity: 0.45, wheel: "level", outline: false, keepZoom: false, instances: false, widths: {} };
const MOST_VIEWS = 500;

/** Where this browser keeps what belongs to a project. @param {{project: any}} state */
export function projectKey({ project }) {
  return `clickgrain ${project?.database}`;
}

/** What was kept under a name; {} for nothing, or nothing that can be read. @param {string} name @returns {any} */
export function recall(name) {
  try {
    return JSON.parse(localStorage.getItem(name) ?? "{}") ?? {};
  } catch {
    return {};
  }
}

/** Keep some more under a name. @param {string} name @param {any} changes */
export function keep(name, changes) {
  try {
    localStorage.setItem(name, JSON.stringify({ ...recall(name), ...changes }));
  } catch {
    // a browser without storage forgets on reload, nothing more
  }
}

/**
 * Keep how near an image was looked at, of the last images.
 * @param {string} name @param {number} image @param {any} view null for the whole image
 */
export function keepView(name, image, view) {
  const { [image]: _, ...others } = recall(name).views ?? {};
  const all = Object.entries(view ? { ...others, [image]: view } : others);
  keep(name, { views: Object.fromEntries(all.slice(-MOST_VIEWS)) });
}

/** @returns {typeof DEFAULTS & {keys: Record<string, string[]>}} */
export function loadPreferences() {
  const stored = recall(KEY);
  const known = Object.entries(DEFAULTS).filter(([name, value]) => typeof stored[name] === typeof value);
  const all = { ...DEFAULTS, ...Object.fromEntries(known.map(([name]) => [name, stored[name]])) };
  return {
    ...all,
    keys: Object.fromEntries(Object.entries(all.keys ?? {}).filter(([, keys]) => Array.isArray(keys))),
  };
}

/**
 * @param {import("./core/store.js").Store<any>} store @param {Partial<typeof DEFAULTS>} changes
 */
export function remember(store, changes) {
  const preferences = { ...store.state.preferences, ...changes };
  store.set({ preferences });
  keep(KEY, preferences);
}
