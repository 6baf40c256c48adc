// The avatars and models that lie on the server: listed and deleted. They come by imports.js.

import { call, inWords, one, urls } from '../api.js';
import { $, act, count, el, iconButton, keep, length, megabytes, setText, sure, tell, trouble } from './dom.js';

/** What a server answers that has no such route, or has it switched off. */
export const MISSING = [404, 405, 501];

const inUse = ({ used_by: by = [] }) => (by.length ? `, used by ${by.join(', ')}` : '');

/** How well an avatar talks or a model fits, with what could be better; nothing of those that were never judged. */
export const verdictOf = (verdict) => [verdict?.says && `It ${verdict.says}.`, ...(verdict?.notes ?? [])].filter(Boolean).join(' ');

/** What lies there and can't be used, in a sentence each. */
const brokenOf = ({ broken = [] }) => broken.map(({ id, problem }) => `${id}: ${problem}.`).join(' ');

export class Library {
  #desk;
  #avatars = [];
  #models = [];
  #uses = null;

  /** @param {import('./desk.js').Desk} desk */
  constructor(desk) {
    this.#desk = desk;
    desk.addEventListener('server', () => this.load());
    desk.addEventListener('look', () => this.#follow());
  }

  /** Who uses what is part of the lists. */
  #follow() {
    const uses = JSON.stringify(this.#desk.sessions.map(({ id, avatar, model }) => [id, avatar, model]));
    if (this.#uses !== null && this.#uses !== uses) this.load();
    this.#uses = uses;
  }

  /** `[id, label]` of each avatar that is known, `own` among them. */
  avatarChoices(own) {
    return this.#choices(this.#avatars, 'avatar', own);
  }

  /** The same of models. */
  modelChoices(own) {
    return this.#choices(this.#models, 'model', own);
  }

  #choices(known, kind, own) {
    const ids = new Set([...known.map(({ id }) => id), ...this.#desk.sessions.map((session) => session[kind]), ...(own ? [own] : [])]);
    return [...ids].sort().map((id) => [id, id]);
  }

  /** Asks for everything anew. */
  async load() {
    await Promise.all([this.#loadAvatars(), this.#loadModels()]);
  }

  /** What there is at `url`; null, and `note` says why, where there is nothing. */
  async #fetch(url, note, missing, hint) {
    try {
      const answer = await (await call(url)).json();
      const said = brokenOf(answer) || hint;
      note.hidden = !said;
      setText(note, said);
      return answer;
    } catch (error) {
      if (error.status === 401) trouble(error);
      note.hidden = false;
      setText(note, MISSING.includes(error.status) ? missing : inWords(error));
      return null;
    }
  }

  async #loadAvatars() {
    const missing = 'This server doesn’t list its avatars here; those that sessions use can be chosen.';
    const drop = 'Drop a video or a photo anywhere to make an avatar of it.';
    this.#avatars = (await this.#fetch(urls.avatars, $('avatars-note'), missing, drop))?.avatars ?? [];
    keep($('avatars'), this.#avatars, ({ id }) => id, (avatar) => this.#face(avatar), (card, avatar) => {
      const { size, seconds, clips = [], verdict } = avatar;
      setText(card.querySelector('.who'), `${size.width} × ${size.height}, ${length(seconds)}, ${count(clips.length, 'clip')}${inUse(avatar)}`);
      setText(card.querySelector('.how'), verdictOf(verdict));
    });
  }

  #face(avatar) {
    const { id, name } = avatar;
    const picture = el('img', { alt: '', width: 44, height: 55 });
    if (avatar.poster) this.#poster(picture, new URL(avatar.poster.replace(/^\//, ''), document.baseURI));
    const title = el('b', { textContent: name && name.toLowerCase() !== id ? `${id} (${name})` : id });
    const words = el('span', { class: 'words' }, title, el('span', { class: 'who' }), el('span', { class: 'how' }));
    return el('li', { class: 'card' }, picture, words, iconButton('bin', `Delete the avatar ${id}`, (event) =>
      this.#delete(urls.avatars, id, `Delete the avatar ${id}?`, event.currentTarget)));
  }

  /** By fetch, since an image can't send the token. */
  async #poster(picture, url) {
    try {
      const blob = URL.createObjectURL(await (await call(url)).blob());
      picture.addEventListener('load', () => URL.revokeObjectURL(blob), { once: true });
      picture.src = blob;
    } catch {
      // A card without a picture says enough.
    }
  }

  async #loadModels() {
    const missing = 'This server doesn’t list its models here; those that sessions use can be chosen.';
    this.#models = (await this.#fetch(urls.models, $('models-note'), missing, ''))?.models ?? [];
    keep($('models'), this.#models, ({ id }) => id,
      ({ id }) => el('li', {},
        el('span', { class: 'words' }, el('b', { textContent: id }), el('span', { class: 'who' })),
        iconButton('bin', `Delete the model ${id}`, (event) => this.#delete(urls.models, id, `Delete the model ${id}?`, event.currentTarget))),
      (row, model) => {
        const size = Number.isFinite(model.bytes) ? `, ${megabytes(model.bytes)}` : '';
        const loaded = model.loaded ? ', in memory' : '';
        const side = model.size ? `, ${model.size} pixels` : '';
        setText(row.querySelector('.who'), `${model.family}${side}${size}${loaded}${inUse(model)}`);
      });
  }

  async #delete(from, id, question, button) {
    if (!(await sure(question, 'Its files on the server are removed.'))) return;
    const gone = await act(button, async () => (await call(one(from, id), { method: 'DELETE' }), true));
    if (gone) tell(`${id} is deleted.`);
    await this.load();
  }
}
