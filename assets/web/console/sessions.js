// The sessions: a card with a picture for each, made and deleted.

import { addresses, ask, call, one, urls } from '../api.js';
import { LIVE } from './desk.js';
import { $, act, complain, count, el, form, iconButton, keep, options, setText, sure, tell } from './dom.js';

/** One picture so often, of one session after the other, in ms: what it costs doesn't grow with their number. */
const PICTURE = 1000;
/** Pixels of a card's picture, twice those on the screen. */
const THUMB = { width: 88, height: 110 };

const STATES = { idle: 'at rest', talking: 'talking' };

function paint(canvas, picture, width, height) {
  // Filled, as `object-fit: cover` does.
  const scale = Math.max(canvas.width / width, canvas.height / height);
  const [w, h] = [width * scale, height * scale];
  canvas.getContext('2d').drawImage(picture, (canvas.width - w) / 2, (canvas.height - h) / 2, w, h);
  canvas.dataset.painted = 'yes';
}

/** The list of sessions. */
export class Sessions {
  #desk;
  #library;
  #video;
  #turn = 0;

  /**
   * @param {import('./desk.js').Desk} desk
   * @param {import('./library.js').Library} library
   * @param {HTMLVideoElement} video where the chosen one plays
   */
  constructor(desk, library, video) {
    this.#desk = desk;
    this.#library = library;
    this.#video = video;
    desk.addEventListener('look', () => this.#show());
    desk.addEventListener('chosen', () => this.#show());
    $('new').addEventListener('click', () => this.#open());
    form($('create'), (fields) => this.#create(fields));
    this.#picture();
  }

  #show() {
    const { sessions } = this.#desk;
    keep($('sessions'), sessions, ({ id }) => id, (session) => this.#card(session), (card, session) => this.#fill(card, session));
  }

  #card({ id }) {
    const picture = el('canvas', { ...THUMB, 'aria-hidden': 'true' });
    const words = el('span', { class: 'words' }, el('b', { textContent: id }), el('span', { class: 'who' }), el('span', { class: 'how' }));
    const choose = el('button', { type: 'button', class: 'choose', onclick: () => this.#desk.choose(id) }, picture, words);
    const card = el('li', { class: 'card' }, choose);
    if (id !== LIVE) card.append(iconButton('bin', `Delete the session ${id}`, (event) => this.#delete(id, event.currentTarget)));
    return card;
  }

  #fill(card, { id, avatar, state, viewers, published, now }) {
    card.dataset.state = state;
    const chosen = id === this.#desk.id;
    card.querySelector('.choose').setAttribute('aria-current', chosen);
    setText(card.querySelector('.who'), `${avatar}, ${STATES[state] ?? state}`);
    const waits = now?.queue_s >= 0.1 ? `, ${now.queue_s.toFixed(0)} s to say` : '';
    const voice = published ? ', a voice comes in' : '';
    setText(card.querySelector('.how'), `${count(viewers, 'viewer')}${voice}${waits}`);
  }

  /** Pictures for the cards, one after the other: the chosen one's is on the screen already. */
  async #picture() {
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, PICTURE));
      if (document.hidden || !this.#desk.status) continue;
      const { sessions, id: chosen } = this.#desk;
      const canvas = (id) => $('sessions').querySelector(`[data-key="${CSS.escape(id)}"] canvas`);
      const { videoWidth, videoHeight } = this.#video;
      const own = canvas(chosen);
      if (own && videoWidth && document.documentElement.dataset.picture) paint(own, this.#video, videoWidth, videoHeight);
      const others = sessions.filter(({ id }) => id !== chosen);
      if (!others.length) continue;
      const { id } = others[this.#turn++ % others.length];
      try {
        const answer = await call(addresses(id).snapshot, { method: 'POST', signal: AbortSignal.timeout(4 * PICTURE) });
        const picture = await createImageBitmap(await answer.blob());
        if (canvas(id)) paint(canvas(id), picture, picture.width, picture.height);
        picture.close();
      } catch {
        // It ended, or has no time for a picture: the one before stays.
      }
    }
  }

  #open() {
    const fields = $('create-form');
    fields.reset();
    options(fields.elements.avatar, [['', 'as configured'], ...this.#library.avatarChoices()]);
    options(fields.elements.model, [['', 'as configured'], ...this.#library.modelChoices()]);
    complain(null);
    $('create').showModal();
  }

  async #create(fields) {
    const given = [...new FormData(fields)].filter(([, value]) => value !== '');
    const numbers = ['bitrate_kbps', 'idle_timeout_s'];
    const wanted = given.map(([name, value]) => [name, numbers.includes(name) ? Number(value) : value]);
    const made = await ask('POST', urls.sessions, Object.fromEntries(wanted));
    await this.#desk.refresh();
    this.#desk.choose(made.id);
    tell(`The session ${made.id} is made.`);
  }

  async #delete(id, button) {
    const { viewers = 0 } = this.#desk.sessions.find((session) => session.id === id) ?? {};
    if (!(await sure(`Delete the session ${id}?`, viewers ? `${count(viewers, 'viewer')} will be told goodbye.` : 'Nobody watches it.'))) return;
    const gone = await act(button, async () => (await call(one(urls.sessions, id), { method: 'DELETE' }), true));
    if (gone && id === this.#desk.id) this.#desk.choose(LIVE);
    await this.#desk.refresh();
    if (gone) tell(`The session ${id} is deleted.`);
  }
}
