// Carry on: the server takes the object in hand from image to image; the view follows until the user looks elsewhere.

import { post } from "./api.js";
import { atWork } from "./dialogs/learn.js";

const EVERY_MS = 150;
/** Until the run of this tab has ended and can be undone. @type {Promise<void>} */
let ended = Promise.resolve();

/** Carry the object in hand on, or stop what runs. @param {import("./commands.js").App} app */
export async function carry(app) {
  const { store, annotator, gallery } = app,
    { image, active } = store.state,
    object = image?.object(active);
  if (atWork(store.state.carry)) return stopCarrying(app);
  if (!object) return annotator.say("Choose an object first, then carry it on.");
  const images = gallery.way(1).map((/** @type {any} */ each) => each.id);
  if (!images.length) return annotator.say("This is the last image of the list.");
  const { job } = await post("/api/carry", { image: image.id, object: object.id, images, client: gallery.tab });
  ended = follow(app, job);
  return undefined;
}

/** @param {import("./commands.js").App} app */
export async function stopCarrying({ store }) {
  const { carry: job } = store.state;
  if (!atWork(job)) return;
  await post(`/api/jobs/${job.id}/cancel`, {});
  await ended;
}

/** What runs still when the page is opened again. @param {import("./commands.js").App} app */
export function resumeCarrying(app) {
  const job = app.store.state.jobs.find((/** @type {any} */ each) => each.kind === "carry" && each.user === app.store.state.user && atWork(each));
  if (job) ended = follow(app, job);
  app.store.on(["image", "broken"], ({ carry: last, image }) => {
    if (last && !atWork(last) && last.result?.image !== image?.id) app.store.set({ carry: null });
  });
}

/** @param {import("./commands.js").App} app @param {any} job */
async function follow({ store, annotator, gallery, live }, job) {
  let at = store.state.image?.id,
    here = true;
  const begin = at;
  live.takeJobs([job]);
  for (let now = job; atWork(now); ) {
    store.set({ carry: now });
    await new Promise((done) => setTimeout(done, EVERY_MS));
    await live.poll();
    now = store.state.jobs.find((/** @type {any} */ each) => each.id === job.id);
    if (!now) return void store.set({ carry: null }); // another server: what was carried is there
    const { image, active } = store.state;
    if (image?.id !== at || (active !== null && at !== begin)) here = false;
    const there = now.result?.image ?? at;
    if (here && there !== at) await gallery.show((at = there), true);
    else if (!here) image?.arrive();
    job = now;
  }
  if (here && at !== undefined && at !== begin) await gallery.show(at);
  const { result } = job;
  if (result?.images?.length) annotator.remember({ found: result.images, how: "carried" });
  await Promise.all((result?.images ?? []).slice(-1).map((/** @type {any} */ each) => gallery.heard(each)));
  const { image } = store.state,
    last = image?.document?.objects.find((/** @type {any} */ each) => each.track === result?.track);
  if (here && last && image.id === result.image) annotator.take(last.id);
  store.set({ carry: job });
  if (!here) annotator.say(result?.why ?? job.error);
}
