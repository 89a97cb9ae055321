// Others on the same server: who has the image open, who is working on it, and what became of its review.

import { ApiError, post } from "./api.js";
import { button, buttonRow, openDialog } from "./dialogs/frame.js";
import { byId, fill, h, icon } from "./dom.js";

let touched = performance.now();

/** @returns {number} whole seconds since pointer or key were used here */
export function idleSeconds() {
  return Math.round((performance.now() - touched) / 1000);
}

/** @param {any} entry of the image list @param {string} user @returns {string[]} who else has it open */
export function others({ people = [] }, user) {
  return people.filter((/** @type {string} */ name) => name !== user);
}

/** @param {any} app */
export function startTeam(app) {
  const { store, live } = app,
    strip = h("div", { id: "team", class: "banner", role: "status", hidden: true }),
    here = h("span", { class: "people quiet" });
  byId("banner").after(strip);
  byId("bar").querySelector(".grow")?.after(here);
  app.open.sendBack = () => openSendBack(app);
  for (const kind of ["pointermove", "pointerdown", "keydown", "wheel"])
    addEventListener(kind, () => (touched = performance.now()), { passive: true, capture: true });
  let shown = 0;
  store.on(["image", "images", "revision", "user"], (/** @type {any} */ { image, images, user }) => {
    const entry = images.find((/** @type {any} */ each) => each.id === image?.id) ?? {},
      with_ = others(entry, user);
    here.textContent = with_.length ? `with ${with_.join(", ")}` : "";
    show(app, strip, entry.holder && entry.holder !== user ? entry.holder : "", image?.document);
    if (user && image && image.id !== shown) live.poll(); // whose it is should not wait for the next second
    shown = image?.id ?? 0;
  });
}

/** @param {any} app @param {any} strip @param {string} holder another person @param {any} document of the open image */
function show({ store, annotator, live }, strip, holder, document) {
  const back = document?.status === "sent_back";
  strip.hidden = !holder && !back;
  const takeOver = async () => {
    try {
      await post(`/api/images/${store.state.image.id}/take-over`, {});
      await live.poll();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      annotator.say(error.message);
    }
  };
  const words = back ? `Sent back${document.by ? ` by ${document.by}` : ""}: ${document.note}` : "";
  fill(
    strip,
    icon(holder ? "lock" : "undo"),
    h("span", { class: "grow" }, [holder && `${holder} is working on this image.`, words].filter(Boolean).join(" ")),
    holder ? button("Take it over", takeOver) : null,
  );
}

/** Say what is to be done, and hand the image back to who annotates it. @param {any} app */
function openSendBack({ store, annotator, gallery }) {
  const { image } = store.state;
  if (!image) return;
  const note = h("textarea", { rows: 3, maxlength: 1000, "aria-label": "Note" });
  note.value = image.document.note;
  const send = () => {
    if (!note.value.trim()) return note.focus();
    dialog.close();
    annotator.turn(async () => (await annotator.setStatus("sent_back", note.value.trim())) && void gallery.step(1));
  };
  const dialog = openDialog(
    "Send back",
    [h("p", null, "What is to be done?"), note, buttonRow(button("Send back, next image", send, "main"))],
    { name: "send-back-dialog" },
  );
  note.focus();
}
