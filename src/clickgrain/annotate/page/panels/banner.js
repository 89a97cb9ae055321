// Trouble that stays on the screen until it is over: the server is away, the disk is full, the database is locked.

import { byId, fill, h, icon } from "../dom.js";

/** @param {any} app */
export function startBanner(app) {
  const element = byId("banner");
  app.store.on(
    ["banner", "saving", "notice", "noticeRead"],
    (/** @type {any} */ { banner, saving, notice, noticeRead }) => {
      const unsaved = saving.waiting
        ? `${saving.waiting} ${saving.waiting === 1 ? "action waits" : "actions wait"} and will be saved as soon as it can be.`
        : "";
      const text = saving.problem?.message ?? banner?.text;
      element.hidden = !text && !(notice && !noticeRead);
      element.classList.toggle("note", !text);
      if (text)
        fill(
          element,
          icon("warn"),
          h("span", { class: "grow" }, text, " ", unsaved),
        );
      else if (notice) fill(element, icon("warn"), h("span", { class: "grow" }, notice), dismiss(app.store));
    },
  );
  addEventListener("beforeunload", (event) => {
    if (app.store.state.saving.waiting) event.preventDefault();
  });
}

/** @param {any} store */
function dismiss(store) {
  return h(
    "button",
    {
      class: "button",
      type: "button",
      onclick: () => {
        store.set({ noticeRead: true });
      },
    },
    "Understood",
  );
}
