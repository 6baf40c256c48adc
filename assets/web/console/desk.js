// What the console knows: the sessions, which of them is chosen, and how the server is.

import { addresses, call, urls } from '../api.js';
import { Events } from '../events.js';

/** How often the server is asked, in ms. */
const LOOK = 1000;
/** An answer that takes longer is none, in ms. */
const PATIENCE = 4000;

/** The session that there always is. */
export const LIVE = 'live';

const json = async (url) => (await call(url, { signal: AbortSignal.timeout(PATIENCE) })).json();

/**
 * Asks the server each second, one request at a time; nothing while nobody sees the page.
 *
 * Tells `look` after each look, `chosen` when another session is chosen, `told` with each event of the chosen one,
 * `server` when another run of the server answers, the first one too, and `refused` with the error of a look.
 */
export class Desk extends EventTarget {
  /** `/v1/status`; null while the server doesn't answer. */
  status = null;
  /** `/v1/sessions`, and in each as `now` what the status says of it. */
  sessions = [];
  /** When the server was asked for them, by `performance.now()`. */
  asked = -Infinity;
  /** The chosen session's name and addresses. */
  id = '';
  urls = null;
  /** Its events. */
  events = null;
  #upSince = 0;
  #relay = ({ detail }) => this.dispatchEvent(new CustomEvent('told', { detail }));
  #looking = null;

  /** The chosen session; null when it isn't known. */
  get chosen() {
    return this.sessions.find(({ id }) => id === this.id) ?? null;
  }

  /** Chooses the session `id`. */
  choose(id) {
    if (id === this.id) return;
    this.events?.removeEventListener('told', this.#relay);
    this.events?.release();
    this.id = id;
    this.urls = addresses(id);
    this.events = new Events(this.urls.events, { kept: true });
    this.events.addEventListener('told', this.#relay);
    this.events.hold();
    const here = new URL(location.href);
    here.searchParams.set('session', id);
    history.replaceState(null, '', here);
    this.dispatchEvent(new Event('chosen'));
    this.dispatchEvent(new Event('look'));
  }

  /** Looks now: something was changed. */
  async refresh() {
    // One that is under way may have asked before the change.
    await this.#looking;
    await (this.#looking ??= this.#look().finally(() => (this.#looking = null)));
  }

  /** Looks over and over. */
  async watch() {
    for (;;) {
      if (!document.hidden) await this.refresh();
      await new Promise((resolve) => setTimeout(resolve, LOOK));
    }
  }

  async #look() {
    const asked = performance.now();
    try {
      const [status, { sessions }] = await Promise.all([json(urls.status), json(urls.sessions)]);
      const upSince = Date.now() - status.uptime_s * 1000;
      this.status = status;
      this.asked = asked;
      this.sessions = sessions.map((session) => ({ ...session, now: status.sessions.find(({ id }) => id === session.id) ?? null }));
      // Clocks and answers jitter; a server that was started anew is younger by more.
      if (Math.abs(upSince - this.#upSince) > 5000) {
        this.#upSince = upSince;
        this.dispatchEvent(new Event('server'));
      }
    } catch (error) {
      this.status = null;
      if (error.status) this.dispatchEvent(new CustomEvent('refused', { detail: error }));
    }
    this.dispatchEvent(new Event('look'));
  }
}
