// What this browser remembers for its user: keys, opacity, how the wheel behaves. Never annotations.

const KEY = "clickgrain.preferences";

export const DEFAULTS = { keys: {}, opacity: 0.45, wheel: "level" };

/** @returns {typeof DEFAULTS & {keys: Record<string, string[]>}} */
export function loadPreferences() {
  try {
    const stored = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    const known = Object.entries(DEFAULTS).filter(([name, value]) => typeof stored[name] === typeof value);
    const all = { ...DEFAULTS, ...Object.fromEntries(known.map(([name]) => [name, stored[name]])) };
    return {
      ...all,
      keys: Object.fromEntries(Object.entries(all.keys ?? {}).filter(([, keys]) => Array.isArray(keys))),
    };
  } catch {
    return DEFAULTS; // nothing stored, or nothing that can be read
  }
}

/**
 * @param {import("./core/store.js").Store<any>} store @param {Partial<typeof DEFAULTS>} changes
 */
export function remember(store, changes) {
  const preferences = { ...store.state.preferences, ...changes };
  store.set({ preferences });
  try {
    localStorage.setItem(KEY, JSON.stringify(preferences));
  } catch {
    // a browser without storage forgets on reload, nothing more
  }
}
