// Recordings: of the chosen session started and stopped, all of them listed, downloaded and deleted; and single pictures.

import { ask, call, inWords, one, token, urls } from '../api.js';
import { $, act, el, icon, iconButton, keep, length, megabytes, setText, sure, tell } from './dom.js';

/** How often the list is asked for while one runs, in ms: its file grows every two seconds. */
const GROWS = 2000;
const NOTE = 'What viewers get, into an MP4 file on the server.';

/** Saves what `answer` carries under `name`. */
async function save(answer, name) {
  const url = URL.createObjectURL(await answer.blob());
  el('a', { href: url, download: name }).click();
  // The download has its own hold on it by then.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

export class Recordings {
  #desk;
  #all = [];
  #timer = 0;

  /** @param {import('./desk.js').Desk} desk */
  constructor(desk) {
    this.#desk = desk;
    desk.addEventListener('server', () => this.#load());
    desk.addEventListener('chosen', () => this.#load());
    desk.addEventListener('look', () => this.#showButton());
    desk.addEventListener('told', ({ detail }) => detail.event.type === 'recording' && !detail.kept && this.#load());
    $('record').addEventListener('click', (event) => this.#order(event.currentTarget));
    $('snapshot').addEventListener('click', (event) => this.#picture(event.currentTarget));
  }

  get #running() {
    return this.#all.find(({ session, running }) => running && session === this.#desk.id);
  }

  async #load() {
    clearTimeout(this.#timer);
    let note = '';
    try {
      this.#all = (await (await call(urls.recordings)).json()).recordings.toReversed();
      if (!this.#all.length) note = 'None yet.';
    } catch (error) {
      note = inWords(error);
    }
    setText($('recordings-note'), note);
    $('recordings-note').hidden = !note;
    keep($('recordings'), this.#all, ({ id }) => id, (one) => this.#row(one), (row, { seconds, bytes, running }) => {
      row.dataset.running = running;
      setText(row.querySelector('.who'), `${running ? 'recording, ' : ''}${length(seconds)}, ${megabytes(bytes)}`);
      row.querySelector('[data-delete]').hidden = running;
    });
    this.#showButton();
    if (this.#all.some(({ running }) => running)) this.#timer = setTimeout(() => this.#load(), GROWS);
  }

  #row({ id }) {
    const name = `${id}.mp4`;
    const url = one(urls.recordings, id);
    const label = `Download ${name}`;
    const bin = iconButton('bin', `Delete ${name}`, (event) => this.#delete(id, event.currentTarget));
    bin.dataset.delete = '';
    return el('li', {},
      el('span', { class: 'words' }, el('b', { textContent: id }), el('span', { class: 'who' })),
      el('a', { class: 'icon', href: url, download: name, title: label, 'aria-label': label, onclick: (event) => this.#download(event, url, name) }, icon('down')),
      bin);
  }

  /** A link can't send the token: with one the file goes through the page. */
  async #download(event, url, name) {
    if (!token.get()) return;
    event.preventDefault();
    await act(event.currentTarget, async () => save(await call(url), name));
  }

  async #delete(id, button) {
    if (!(await sure(`Delete ${id}.mp4?`, 'The file on the server is removed.'))) return;
    const gone = await act(button, async () => (await call(one(urls.recordings, id), { method: 'DELETE' }), true));
    if (gone) tell(`${id}.mp4 is deleted.`);
    await this.#load();
  }

  #showButton() {
    const running = this.#running;
    const button = $('record');
    button.disabled = !this.#desk.chosen;
    $('snapshot').disabled = !this.#desk.chosen;
    if (button.getAttribute('aria-pressed') !== String(Boolean(running))) button.setAttribute('aria-pressed', Boolean(running));
    setText(button.querySelector('span'), running ? 'Stop recording' : 'Record');
    setText($('record-note'), running ? `${running.id}.mp4, ${length(running.seconds)}` : NOTE);
  }

  async #order(button) {
    const action = this.#running ? 'stop' : 'start';
    const done = await act(button, () => ask('POST', this.#desk.urls.recording, { action }));
    if (done) tell(action === 'start' ? `Recording ${done.id}.mp4.` : `${done.id}.mp4 is done: ${length(done.seconds)}.`);
    await this.#load();
  }

  async #picture(button) {
    const { id, urls: { snapshot } } = this.#desk;
    await act(button, async () => save(await call(snapshot, { method: 'POST' }), `${id}.jpg`));
  }
}
