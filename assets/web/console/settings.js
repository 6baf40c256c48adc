// What the chosen session is made of, and how to change it while it streams.

import { ask } from '../api.js';
import { $, act, count, el, keep, options, setText, tell } from './dom.js';

/** The form with the chosen session's settings. */
export class Settings {
  #desk;
  #library;
  #form = $('settings');
  #touched = false;

  constructor(desk, library) {
    this.#desk = desk;
    this.#library = library;
    desk.addEventListener('look', () => this.#show());
    desk.addEventListener('chosen', () => this.#forget());
    this.#form.addEventListener('input', () => (this.#touched = Object.keys(this.#changes()).length > 0));
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#change();
    });
  }

  #changes() {
    const session = this.#desk.chosen;
    if (!session) return {};
    const given = Object.fromEntries(new FormData(this.#form));
    const wanted = { ...given, bitrate_kbps: Number(given.bitrate_kbps) };
    return Object.fromEntries(Object.entries(wanted).filter(([name, value]) => value !== session[name]));
  }

  async #change() {
    const changes = this.#changes();
    if (!Object.keys(changes).length) return tell('It is so already.');
    const id = this.#desk.id;
    const changed = await act(this.#form.querySelector('[type=submit]'), () => ask('PATCH', this.#desk.urls.session, changes));
    if (!changed) return;
    await this.#desk.refresh();
    this.#forget();
    tell(`The session ${id} is changed.`);
  }

  #forget() {
    this.#touched = false;
    this.#show();
  }

  #show() {
    const session = this.#desk.chosen;
    const { avatar, model, source, bitrate_kbps: bitrate } = this.#form.elements;
    for (const field of this.#form.elements) field.disabled = !session;
    if (!session) return;
    options(avatar, this.#library.avatarChoices(session.avatar));
    options(model, this.#library.modelChoices(session.model));
    const sources = { none: 'none, only what is pushed', file: 'the sound file, over and over' };
    options(source, Object.entries({ ...sources, [session.source]: sources[session.source] ?? session.source }));
    if (!this.#touched) {
      [avatar.value, model.value, source.value, bitrate.value] = [session.avatar, session.model, session.source, session.bitrate_kbps];
    }
    const { now, size, idle_timeout_s: idle } = session;
    $('viewers-page').href = `./?session=${encodeURIComponent(session.id)}`;
    const facts = [
      ['Picture', `${size.width} × ${size.height}`],
      ['Late', now ? `${count(now.late_frames, 'frame')}, ${count(now.late_chunks, 'chunk')} of sound` : '–'],
      ['Idle', idle ? `closed after ${idle} s` : 'never closed'],
    ];
    keep($('facts'), facts, ([label]) => label,
      ([label]) => el('div', {}, el('dt', { textContent: label }), el('dd')),
      (row, [, value]) => setText(row.lastChild, value));
  }
}
