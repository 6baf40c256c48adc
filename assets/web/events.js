// What happens to a session, as the server tells it: GET /v1/sessions/{id}/events.

import { call } from './api.js';

/** Wait before the connection is tried again, in ms. */
const AGAIN = 2000;
/** What comes closer together than this came in one go, in ms. */
const ONE_GO = 50;

/**
 * A session's events, while somebody holds them.
 *
 * Tells `told` events, whose detail is `{number, event, kept}`: `kept` when it seems to have happened before the server was asked. They
 * come by fetch, since an EventSource can't send the token. Browsers open six connections to a host, for all of their
 * tabs: a page that nobody sees gives its own back, and hears what it missed when it is seen again.
 */
export class Events extends EventTarget {
  #url;
  #last;
  #holders = 0;
  #round = null;
  #opened = Promise.resolve();
  #follow = () => this.#listenOrNot();

  /**
   * @param {URL} url where they are told
   * @param {{kept?: boolean}} [wish] whether what the server keeps of before is wanted too
   */
  constructor(url, { kept = false } = {}) {
    super();
    this.#url = url;
    this.#last = kept ? 0 : null;
  }

  /** Listens until `release`; both may be called again and again. Returns when the server tells, or can't. */
  hold() {
    if (this.#holders++ === 0) document.addEventListener('visibilitychange', this.#follow);
    this.#follow();
    return this.#opened;
  }

  /** Tries again where it was refused: there is a token now. */
  again() {
    this.#follow();
  }

  /** The one who held it needs it no more. */
  release() {
    if (--this.#holders === 0) document.removeEventListener('visibilitychange', this.#follow);
    this.#follow();
  }

  #listenOrNot() {
    const wanted = this.#holders > 0 && !document.hidden;
    if (wanted && !this.#round) {
      this.#round = new AbortController();
      this.#opened = new Promise((opened) => this.#listen(this.#round.signal, opened));
    } else if (!wanted && this.#round) {
      this.#round.abort();
      this.#round = null;
    }
  }

  async #listen(signal, opened) {
    while (!signal.aborted) {
      try {
        const headers = this.#last === null ? {} : { 'Last-Event-ID': String(this.#last) };
        const answer = await call(this.#url, { headers, signal });
        opened();
        await this.#read(answer.body);
      } catch (error) {
        opened();
        // A session that isn't there, or a token that isn't right, is told elsewhere.
        if (!signal.aborted && [401, 403, 404].includes(error.status)) this.#round = null;
        if (signal.aborted || !this.#round) return;
      }
      await new Promise((resolve) => setTimeout(resolve, AGAIN));
    }
  }

  async #read(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    // What the server keeps of before comes first, and in one go.
    let kept = this.#last !== null;
    let before = Infinity;
    let text = '';
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const now = performance.now();
      kept &&= now - before < ONE_GO || before === Infinity;
      before = now;
      text += value;
      const blocks = text.split(/\r?\n\r?\n/);
      text = blocks.pop();
      for (const block of blocks) this.#tell(block, kept);
    }
  }

  #tell(block, kept) {
    const lines = block.split(/\r?\n/);
    const data = lines.filter((line) => line.startsWith('data:')).map((line) => line.slice(5)).join('\n');
    if (!data) return;
    const number = Number(lines.find((line) => line.startsWith('id:'))?.slice(3));
    this.#last = number;
    this.dispatchEvent(new CustomEvent('told', { detail: { number, event: JSON.parse(data), kept } }));
  }
}
