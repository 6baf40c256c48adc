// What is given to be spoken, files and texts: sent one after another, shown until it is said.

import { inWords, Refusal, send } from './api.js';

/** Utterances that stay in the list; older ones leave it. */
const KEPT = 3;
/** What was said of utterances while we listened is kept for so many: an answer may come after their first sound. */
const TOLD = 100;
/** A server that has had nothing to say for so long after it took something has said it, in ms, whatever we heard. */
const QUIET = 2000;
/** Letters of a text that stand for it in a sentence. */
const NAME = 48;

/** For files of which the browser doesn't know the kind. */
const TYPES = {
  wav: 'audio/wav', flac: 'audio/flac', mp3: 'audio/mpeg', ogg: 'audio/ogg', oga: 'audio/ogg', m4a: 'audio/mp4', aac: 'audio/aac',
};

const typeOf = (file) => file.type || TYPES[file.name.split('.').pop().toLowerCase()] || 'application/octet-stream';

const over = (entry) => ['said', 'failed', 'stopped'].includes(entry.state);

export const seconds = (s) => (s < 60 ? `${s.toFixed(1)} s` : `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`);

/** Gives files and texts to a session and shows how far each is, by the session's events. */
export class Speech {
  #list;
  #url;
  #events;
  #onTrouble;
  #entries = [];
  #turn = Promise.resolve();
  #told = new Map();
  #left = false;

  /**
   * @param {HTMLOListElement} list where utterances are shown
   * @param {URL} url where they are pushed
   * @param {import('./events.js').Events} events the session's, held while something is unsaid
   * @param {(error: Error|null) => void} onTrouble told of each refusal, and with null when something is sent
   */
  constructor(list, url, events, onTrouble) {
    this.#list = list;
    this.#url = url;
    this.#events = events;
    this.#onTrouble = onTrouble;
    events.addEventListener('told', ({ detail }) => this.#hear(detail.event));
  }

  /** Sends files in their order. */
  give(files) {
    for (const file of files) this.#queue(file.name, file, { 'Content-Type': typeOf(file) });
  }

  /**
   * Has a text spoken; with `chat`, what is answered to it; with `cut`, at once, and nothing else that waits. Tells whether
   * the server took it.
   */
  say(text, { chat = false, cut = false } = {}) {
    const fields = chat ? { text, chat } : { text };
    return this.#queue(text, JSON.stringify(fields), { 'Content-Type': 'application/json' }, cut);
  }

  /** A server that went took everything unsaid with it. */
  silenced() {
    this.#told.clear();
    for (const entry of this.#entries) {
      if (entry.state === 'speaking') this.#set(entry, 'stopped', 'cut off', null);
      else if (entry.state === 'waiting') this.#set(entry, 'stopped', 'not spoken', null);
    }
  }

  /** Nobody looks at this list any more: what was given is still sent, but not followed. */
  leave() {
    this.#left = true;
    for (const entry of this.#entries) this.#release(entry);
  }

  /** Moves the bars on; `quiet` is when the server was last asked and had nothing to say, -Infinity while it has. */
  tick(now, quiet) {
    for (const entry of this.#entries) {
      // Its events were lost.
      if (['waiting', 'speaking'].includes(entry.state) && quiet > entry.taken + QUIET) {
        this.#set(entry, 'said', 'spoken', null);
      }
      if (entry.state === 'speaking' && entry.length) this.#bar(entry, (now - entry.from) / (entry.length * 1000));
    }
  }

  #queue(name, body, headers, cut = false) {
    const entry = this.#show(name);
    const url = new URL(this.#url);
    if (cut) url.searchParams.set('interrupt', 'true');
    this.#turn = this.#turn.then(() => this.#giveOne(entry, url, body, headers));
    return this.#turn;
  }

  async #giveOne(entry, url, body, headers) {
    this.#onTrouble(null);
    this.#set(entry, 'sending', 'sending', 0);
    if (!this.#left) {
      entry.holds = true;
      await this.#events.hold();
    }
    try {
      const taken = await send(url, body, headers, (part) => this.#bar(entry, part));
      entry.utterance = taken.utterance;
      entry.length = taken.duration_s ?? null;
      entry.taken = performance.now();
      this.#set(entry, 'waiting', 'next', null);
      // What was told of it before we knew that it was it.
      for (const event of this.#told.get(entry.utterance) ?? []) this.#apply(entry, event);
      return true;
    } catch (error) {
      const again = error instanceof Refusal && error.retryAfter ? ` Try again in ${Math.ceil(error.retryAfter)} s.` : '';
      this.#set(entry, 'failed', 'not spoken', null);
      const trouble = error instanceof Refusal ? inWords(error) : error.message;
      const name = entry.name.length > NAME ? `${entry.name.slice(0, NAME)}…` : entry.name;
      this.#onTrouble(new Error(`${name}: ${trouble}${again}`));
      return false;
    }
  }

  #hear(event) {
    const { first = event.utterance, last = event.utterance } = event;
    if (!event.type?.startsWith('speech_') || first === undefined) return;
    for (const entry of this.#entries) {
      if (entry.utterance >= first && entry.utterance <= last) this.#apply(entry, event);
    }
    for (let utterance = first; utterance <= last; utterance++) {
      this.#told.set(utterance, [...(this.#told.get(utterance) ?? []), event]);
      if (this.#told.size > TOLD) this.#told.delete(this.#told.keys().next().value);
    }
  }

  #apply(entry, { type, played_ms: played, interrupted }) {
    if (over(entry)) return;
    if (type === 'speech_started') {
      entry.from = performance.now();
      this.#set(entry, 'speaking', 'speaking', entry.length ? 0 : null);
    } else if (type === 'speech_dropped') {
      this.#set(entry, 'stopped', 'not spoken', null);
    } else if (type === 'speech_finished') {
      const length = seconds(played / 1000);
      this.#set(entry, ...(interrupted ? ['stopped', `stopped at ${length}`] : ['said', `spoken, ${length}`]), null);
    }
  }

  #show(name) {
    const item = document.createElement('li');
    const title = Object.assign(document.createElement('span'), { className: 'file', textContent: name, title: name });
    const word = Object.assign(document.createElement('span'), { className: 'word' });
    const bar = Object.assign(document.createElement('progress'), { max: 1, hidden: true });
    bar.setAttribute('aria-label', name);
    item.append(title, word, bar);
    this.#list.prepend(item);
    const entry = { name, item, word, bar, state: '', utterance: NaN, taken: Infinity, from: Infinity, length: null, holds: false };
    this.#entries.push(entry);
    this.#set(entry, 'queued', 'waiting', null);
    const past = this.#entries.filter(over);
    for (const old of past.slice(0, Math.max(0, this.#entries.length - KEPT))) {
      old.item.remove();
      this.#entries.splice(this.#entries.indexOf(old), 1);
    }
    return entry;
  }

  #set(entry, state, word, part) {
    entry.state = entry.item.dataset.state = state;
    entry.word.textContent = word;
    entry.bar.hidden = part === null;
    if (part !== null) this.#bar(entry, part);
    if (over(entry)) this.#release(entry);
  }

  #release(entry) {
    if (entry.holds) this.#events.release();
    entry.holds = false;
  }

  #bar(entry, part) {
    entry.bar.value = Math.min(1, Math.max(0, part));
  }
}
