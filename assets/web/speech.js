// Files to be spoken: sent one after another, shown until they are said.

import { credentials, Refusal, refusal, urls } from './api.js';

/** Utterances that stay in the list; older ones leave it. */
const KEPT = 3;

/** For files of which the browser doesn't know the kind. */
const TYPES = {
  wav: 'audio/wav', flac: 'audio/flac', mp3: 'audio/mpeg', ogg: 'audio/ogg', oga: 'audio/ogg', m4a: 'audio/mp4', aac: 'audio/aac',
};

const typeOf = (file) => file.type || TYPES[file.name.split('.').pop().toLowerCase()] || 'application/octet-stream';

/** Sends a file; XMLHttpRequest, since only it tells how much has gone. */
function send(file, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('POST', urls.speech);
    for (const [name, value] of Object.entries(credentials())) request.setRequestHeader(name, value);
    request.setRequestHeader('Content-Type', typeOf(file));
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onerror = () => reject(new Error('The file did not get through: the server is away.'));
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) resolve(JSON.parse(request.responseText));
      else reject(refusal(request.status, (name) => request.getResponseHeader(name), request.responseText));
    };
    request.send(file);
  });
}

const seconds = (s) => (s < 60 ? `${s.toFixed(1)} s` : `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`);

/** Gives files to the server and shows how far each is. */
export class Speech {
  #list;
  #onTrouble;
  #entries = [];
  #turn = Promise.resolve();

  /**
   * @param {HTMLOListElement} list where utterances are shown
   * @param {(error: Error|null) => void} onTrouble told of each refusal, and with null when a file begins
   */
  constructor(list, onTrouble) {
    this.#list = list;
    this.#onTrouble = onTrouble;
  }

  /** Sends files in their order. */
  give(files) {
    for (const file of files) {
      const entry = this.#show(file.name);
      this.#turn = this.#turn.then(() => this.#giveOne(file, entry));
    }
  }

  /** Everything unsaid was silenced, `played` seconds into what was being said, where that is known. */
  silenced(played = null) {
    for (const entry of this.#entries) {
      if (entry.state === 'speaking') this.#set(entry, 'stopped', played === null ? 'cut off' : `stopped at ${seconds(played)}`, null);
      else if (entry.state === 'waiting') this.#set(entry, 'stopped', 'not spoken', null);
    }
  }

  /** Moves the bars on; `quiet` when the server has nothing more to say. */
  tick(now, quiet) {
    for (const entry of this.#entries) {
      if (entry.state === 'waiting' && now >= entry.from) this.#set(entry, 'speaking', 'speaking', 0);
      if (entry.state !== 'speaking') continue;
      const part = (now - entry.from) / (entry.to - entry.from);
      // The estimate is ours alone; the server's own word ends it early, or later.
      if (part >= 1 || (quiet && now > entry.from + 1500)) this.#set(entry, 'said', `spoken, ${seconds(entry.length)}`, null);
      else this.#bar(entry, part);
    }
  }

  async #giveOne(file, entry) {
    this.#onTrouble(null);
    this.#set(entry, 'sending', 'sending', 0);
    try {
      const { duration_s: length, queued_s: ahead } = await send(file, (part) => this.#bar(entry, part));
      entry.length = length;
      entry.from = performance.now() + ahead * 1000;
      entry.to = entry.from + length * 1000;
      this.#set(entry, 'waiting', 'next', null);
    } catch (error) {
      const again = error instanceof Refusal && error.retryAfter ? ` Try again in ${Math.ceil(error.retryAfter)} s.` : '';
      this.#set(entry, 'failed', 'not spoken', null);
      this.#onTrouble(new Error(`${file.name}: ${error.message}${again}`));
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
    const entry = { item, word, bar, state: '', from: Infinity, to: Infinity, length: 0 };
    this.#entries.push(entry);
    this.#set(entry, 'queued', 'waiting', null);
    const over = this.#entries.filter((e) => ['said', 'failed', 'stopped'].includes(e.state));
    for (const old of over.slice(0, Math.max(0, this.#entries.length - KEPT))) {
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
  }

  #bar(entry, part) {
    entry.bar.value = Math.min(1, Math.max(0, part));
  }
}
