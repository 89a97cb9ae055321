// Long work that this tab began: waited for while the server cannot be reached, and shown again after a reload.

import { ApiError, get } from "./api.js";
import { atWork } from "./dialogs/learn.js";

const KEY = "clickgrain.work";

/** @param {string} kind of job that this tab begins, "" once its outcome was shown */
export function remember(kind) {
  try {
    sessionStorage.setItem(KEY, kind);
  } catch {
    // storage that is switched off costs the memory over a reload only
  }
}

/** @param {any} app @param {string} kind @returns {any} this person's last job of a kind */
export function last({ store }, kind) {
  const { jobs, user } = store.state;
  return jobs.findLast((/** @type {any} */ job) => job.kind === kind && job.user === user);
}

/**
 * Tell how far a job is until it has ended.
 * @param {any} app @param {string} kind @param {(job: any) => void} tell @param {string} [before] id of the job before it
 * @returns {Promise<any>} the job, undefined if it never began
 */
export async function outcome(app, kind, tell, before) {
  app.live.takeJobs((await patiently(() => get("/api/jobs"))).jobs);
  if (last(app, kind)?.id === before) return undefined;
  return new Promise((done) => {
    let stop = () => {};
    const look = () => {
      const job = last(app, kind);
      if (atWork(job)) return tell(job);
      queueMicrotask(() => stop()); // the store calls before it returns how to stop
      return done(job);
    };
    stop = app.store.on(["jobs"], look);
  });
}

/** A request that is asked again while the server cannot be reached. @template T @param {() => Promise<T>} ask @returns {Promise<T>} */
export async function patiently(ask) {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof ApiError) || error.code !== "offline") throw error;
      await new Promise((done) => setTimeout(done, 1000));
    }
  }
}

/** Show what this tab had begun before it was reloaded. @param {any} app */
export function resumeWork(app) {
  let kind = "";
  try {
    kind = sessionStorage.getItem(KEY) ?? "";
  } catch {
    // as above
  }
  const job = kind && last(app, kind);
  remember("");
  if (job) app.open.resumed[kind]?.(job);
}
