// What changes elsewhere: other tabs, jobs, the server itself.

import { ApiError, get } from "./api.js";
import { atWork } from "./dialogs/learn.js";
import { idleSeconds } from "./team.js";

const EVERY = 1000;

export class Live {
  /**
   * @param {import("./core/store.js").Store<import("./app.js").State>} store
   * @param {import("./gallery.js").Gallery} gallery @param {import("./annotator.js").Annotator} annotator
   */
  constructor(store, gallery, annotator) {
    this.store = store;
    this.gallery = gallery;
    this.annotator = annotator;
    this.change = 0;
    this.boot = "";
  }

  async begin() {
    await this.#everything();
    this.#again();
    document.addEventListener("visibilitychange", () => document.hidden || this.poll());
  }

  async #everything() {
    const [state, { jobs }, { models }] = await Promise.all([
      get("/api/state"),
      get("/api/jobs"),
      get("/api/models"),
      this.gallery.loadList(),
    ]);
    this.boot = state.boot;
    this.change = state.change;
    this.annotator.takeProject(state.document);
    const { project, model, notice, compiling, user } = state;
    this.store.set({ project, model, notice, compiling, user, jobs, models });
    document.title = `${state.project.name} · clickgrain`;
  }

  #again() {
    setTimeout(async () => {
      if (!document.hidden) await this.poll();
      this.#again();
    }, EVERY);
  }

  /** Ask once what has changed. */
  async poll() {
    try {
      const image = this.store.state.image;
      const query = new URLSearchParams({ since: `${this.change}`, client: this.gallery.tab, idle: `${idleSeconds()}` });
      if (image && !image.passing) query.set("image", `${image.id}`);
      const news = await get(`/api/changes?${query}`);
      if (this.store.state.banner?.offline) this.store.set({ banner: null });
      await this.#take(news, image);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.store.set({ banner: { text: error.message, offline: true } });
    }
  }

  /** @param {any} news @param {import("./image.js").OpenImage | null} image that was asked about */
  async #take(news, image) {
    if (news.boot !== this.boot || news.reload) return this.#restart();
    this.change = news.change;
    this.store.set({ compiling: news.compiling });
    this.gallery.takeEntries(news.images);
    if (news.project_seq > (this.store.state.projectDocument?.seq ?? 0)) await this.annotator.refreshProject();
    if (news.jobs.length) this.takeJobs(news.jobs);
    if (news.model !== this.store.state.model?.id) await this.#switched();
    this.#problem(news.problem);
    if (news.notice !== this.store.state.notice) this.store.set({ notice: news.notice, noticeRead: false });
    if (news.content && image?.info.content && news.content !== image.info.content) await this.#replaced(image);
    return undefined;
  }

  async #restart() {
    await this.#everything();
    await this.store.state.image?.refresh();
  }

  async #switched() {
    const [state, { models }] = await Promise.all([get("/api/state"), get("/api/models")]);
    this.store.set({ model: state.model, notice: state.notice, models });
    await this.store.state.image?.renewTree();
  }

  /** The file of an image is another one now: look at that. @param {import("./image.js").OpenImage} image */
  async #replaced(image) {
    await this.gallery.renew(image);
    const old = this.store.state.image?.document?.objects.filter((object) => object.replaced).length;
    const drawn = old ? ` ${old} ${old === 1 ? "object was" : "objects were"} drawn on the old one, and marked.` : "";
    this.annotator.say(`The file of this photo was replaced.${drawn}`);
  }

  /** @param {any[]} jobs */
  takeJobs(jobs) {
    const fresh = new Map(jobs.map((job) => [job.id, job]));
    const ready = jobs.some(
      (job) => job.kind === "learn" && job.state === "done" && this.store.state.jobs.some((old) => old.id === job.id && atWork(old)),
    );
    if (ready) this.annotator.say("A new model is ready. Learn (Shift+N) shows what it gains, and switches to it.");
    const old = this.store.state.jobs.filter((job) => !fresh.has(job.id));
    this.store.set({ jobs: [...old, ...jobs] });
  }

  /** @param {string | null} problem */
  #problem(problem) {
    const { banner } = this.store.state;
    if (problem) this.store.set({ banner: { text: problem, problem: true } });
    else if (banner?.problem) this.store.set({ banner: null });
  }
}
