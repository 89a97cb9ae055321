// The cheat sheet: every key, and how to change it.

import { button, buttonRow, openDialog } from "./frame.js";
import { fill, h } from "../dom.js";
import { COMMANDS, combination, keysOf, rebind } from "../core/keys.js";
import { keyCaps } from "../panels/buttons.js";
import { DEFAULTS, remember } from "../preferences.js";

/** @param {any} app */
export function openHelp(app) {
  const { store } = app,
    sheet = h("div", { class: "sheet" });
  const show = () =>
    fill(
      sheet,
      [...new Set(COMMANDS.map((command) => command.group))].map((group) =>
        h(
          "section",
          null,
          h("h3", null, group),
          h(
            "dl",
            null,
            COMMANDS.filter((command) => command.group === group).map((command) => line(app, command, show)),
          ),
        ),
      ),
    );
  show();
  const wheel = h(
    "select",
    { "aria-label": "What the mouse wheel does", onchange: () => remember(store, { wheel: wheel.value }) },
    h("option", { value: "level" }, "walks levels, with Ctrl it zooms"),
    h("option", { value: "zoom" }, "zooms, with Alt it walks levels"),
  );
  wheel.value = store.state.preferences.wheel;
  const mouse = h(
    "section",
    { class: "mouse" },
    h("h3", null, "Mouse, pen and fingers"),
    h(
      "dl",
      null,
      MOUSE.map(([keys, words]) => [h("dt", null, words), h("dd", { class: "words" }, keys)]),
    ),
  );
  const places = h(
    "div",
    { class: "places phone-only" },
    ["same", "whole", "learn", "statistics", "export"].map((id) =>
      button(COMMANDS.find((command) => command.id === id)?.title ?? id, () => (dialog.close(), app.run(id))),
    ),
  );
  const dialog = openDialog(
    "Commands and keys",
    [
      places,
      h("p", { class: "quiet" }, "Press a key's field, then the new key. Your choices stay in this browser."),
      h("label", { class: "row" }, "The wheel", wheel),
      h(
        "p",
        null,
        "1 to 9, then the letters that no command has, give the labels, in the order of their list, to the object in hand ",
        "and to the next ones. Outlines on offer are chosen by Shift and 1 to 3, and without Shift as long as no label has ",
        "that number: what a key does is on the label and on the outline.",
      ),
      sheet,
      mouse,
      buttonRow(button("Back to the usual keys", () => (remember(store, { keys: DEFAULTS.keys }), show()))),
    ],
    { name: "help", wide: true },
  );
  return dialog;
}

const MOUSE = [
  ["point", "See the region under the pointer"],
  ["wheel", "Larger or smaller region: part, object, scene"],
  ["left click", "Take the region; then add to the object"],
  ["right click, or a long press", "Remove this from the object"],
  ["left drag", "A box around the object"],
  ["Shift + click", "A new object, whatever is there already"],
  ["Shift + drag with a brush", "A straight line; Shift + click: one from where the last ended"],
  ["Alt + click", "Add exactly the region under the pointer"],
  ["Ctrl + click", "Choose several objects"],
  ["Shift + click in the list", "Choose all up to this one"],
  ["click on a click", "Remove that click; drag it to move it"],
  ["Ctrl + wheel, two fingers", "Zoom"],
  ["Space + drag, middle button, two fingers", "Move the image"],
];

/** @param {any} app @param {any} command @param {() => void} show */
function line({ store }, command, show) {
  const keys = keysOf(store.state.preferences.keys, command.id);
  const field = h(
    "button",
    {
      class: "binding",
      type: "button",
      "aria-label": `${command.title}: ${keys.join(" or ") || "no key"}. Press to change`,
      "data-binding": command.id,
    },
    keys.length ? keys.map((each, i) => [i ? " " : null, ...keyCaps(each)]) : h("span", { class: "quiet" }, "none"),
  );
  field.addEventListener("click", () => {
    fill(field, h("em", null, "press a key"));
    field.addEventListener("keydown", listen);
    field.addEventListener("blur", show, { once: true });
  });
  const listen = (/** @type {KeyboardEvent} */ event) => {
    event.preventDefault();
    event.stopPropagation();
    const pressed = combination(event);
    if (!pressed) return;
    if (pressed !== "Escape") remember(store, { keys: rebind(store.state.preferences.keys, command.id, pressed) });
    show();
    /** @type {any} */ (document.querySelector(`[data-binding="${command.id}"]`))?.focus();
  };
  return [h("dt", null, command.title), h("dd", null, field)];
}
