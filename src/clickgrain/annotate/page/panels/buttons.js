// Buttons that run a command and show its key.

import { h, icon } from "../dom.js";
import { COMMANDS, caps, keysOf } from "../core/keys.js";

/** @param {any} app @param {string} id @returns {string} "Undo (Ctrl Z)" */
export function titleOf(app, id) {
  const title = COMMANDS.find((command) => command.id === id)?.title ?? id;
  const keys = keysOf(app.store.state.preferences.keys, id)[0];
  return keys ? `${title} (${caps(keys).join(" ")})` : title;
}

/**
 * A square button with an icon.
 * @param {any} app @param {string} id command @param {string} name of the icon @param {string} [more] classes
 */
export function toolButton(app, id, name, more = "") {
  const title = titleOf(app, id);
  const button = h(
    "button",
    {
      class: `tool ${more}`,
      type: "button",
      title,
      "aria-label": title,
      "data-command": id,
      onclick: (/** @type {Event} */ event) => app.run(id, event),
    },
    icon(name),
  );
  app.store.on(["preferences"], () => {
    button.title = titleOf(app, id);
    button.setAttribute("aria-label", button.title);
  });
  return button;
}

/**
 * A button with an icon and no command.
 * @param {string} title @param {string} name of the icon @param {(event: Event) => void} onclick @param {Record<string, any>} [more] properties
 */
export function iconButton(title, name, onclick, more = {}) {
  return h(
    "button",
    { type: "button", title, "aria-label": title, onclick, ...more, class: `tool small ${more.class ?? ""}` },
    icon(name),
  );
}

/** @param {string} keys @returns {HTMLElement[]} key caps */
export function keyCaps(keys) {
  return caps(keys).map((cap) => h("kbd", null, cap));
}
