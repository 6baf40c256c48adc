// Avatars and models: listed, imported with their progress, deleted.

import { ask, call, inWords, one, send, urls } from '../api.js';
import { $, act, complain, count, el, form, iconButton, keep, length, megabytes, setText, sure, tell, trouble } from './dom.js';

/** How often imports are asked about while one runs, in ms; the events of `live` tell sooner. */
const JOBS = 1000;
/** Imports that are over and still shown. */
const KEPT = 3;

/** What a server answers that has no such route, or has it switched off. */
const MISSING = [404, 405, 501];

/** A file's name as one of ours: letters of a-z, digits, - and _, 64 at most. */
const nameOf = (file) =>
  file.name.replace(/\.[^.]*$/, '').toLowerCase().replace(/[^a-z0-9_-]+/g, '-').replace(/^[-_]+|-+$/g, '').slice(0, 64);

const list = (ids) => ids.join(', ');
const inUse = ({ used_by: by = [] }) => (by.length ? `, used by ${list(by)}` : '');

/** How well an avatar talks or a model fits, with what could be better; nothing of those that were never judged. */
const verdictOf = (verdict) => [verdict?.says, ...(verdict?.notes ?? [])].filter(Boolean).join(' ');

/** What lies there and can't be used, in a sentence each. */
const brokenOf = ({ broken = [] }) => broken.map(({ id, problem }) => `${id}: ${problem}.`).join(' ');

export class Library extends EventTarget {
  #desk;
  #avatars = [];
  #models = [];
  #jobs = [];
  #kind = 'avatar';
  #asking = null;

  /** @param {import('./desk.js').Desk} desk */
  constructor(desk) {
    super();
    this.#desk = desk;
    desk.addEventListener('server', () => this.load());
    desk.addEventListener('told', ({ detail }) => {
      if (detail.event.type === 'job' && !detail.kept) this.#follow();
      if (['avatar', 'model'].includes(detail.event.type) && !detail.kept) this.load();
    });
    form($('import'), (fields) => this.#import(fields));
    $('add-avatar').addEventListener('click', () => this.open('avatar'));
    $('add-model').addEventListener('click', () => this.open('model'));
    const { file, id } = $('import-form').elements;
    file.addEventListener('change', () => file.files[0] && !id.value && (id.value = nameOf(file.files[0])));
  }

  /** `[id, label]` of each avatar that is known, `own` among them. */
  avatarChoices(own) {
    return this.#choices(this.#avatars, 'avatar', own);
  }

  /** The same of models. */
  modelChoices(own) {
    return this.#choices(this.#models, 'model', own);
  }

  /** An avatar as the server lists it; nothing if it doesn't. */
  avatar(id) {
    return this.#avatars.find((avatar) => avatar.id === id);
  }

  #choices(known, kind, own) {
    const ids = new Set([...known.map(({ id }) => id), ...this.#desk.sessions.map((session) => session[kind]), ...(own ? [own] : [])]);
    return [...ids].sort().map((id) => [id, id]);
  }

  /** Asks for everything anew. */
  async load() {
    await Promise.all([this.#loadAvatars(), this.#loadModels(), this.#follow()]);
    this.dispatchEvent(new Event('loaded'));
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

  // ---- imports ----

  /** Opens the dialog for an avatar or a model, with `file` in it where one was dropped. */
  open(kind, file = null) {
    this.#kind = kind;
    const avatar = kind === 'avatar';
    $('import-form').reset();
    $('import-title').textContent = avatar ? 'Import an avatar' : 'Import a model';
    $('import-text').textContent = avatar
      ? 'Ten to sixty seconds of one who looks at the camera, sits still, mouth closed, evenly lit; or a photo.'
      : 'Wav2Lip, Ultralight-Digital-Human or FeatherTalk, as ONNX. It is checked and tried before it lies where models lie.';
    for (const part of $('import').querySelectorAll('[data-for]')) part.hidden = part.dataset.for !== kind;
    const { file: field, id } = $('import-form').elements;
    field.accept = avatar ? 'video/*,image/*' : '.onnx';
    field.previousSibling.textContent = avatar ? 'Video or photo ' : 'Model ';
    if (file) {
      const given = new DataTransfer();
      given.items.add(file);
      field.files = given.files;
      id.value = nameOf(file);
    }
    complain(null);
    $('import').showModal();
  }

  async #import(fields) {
    const kind = this.#kind;
    const body = new FormData();
    const wanted = kind === 'avatar' ? ['id', 'height', 'seconds', 'face', 'key'] : ['id'];
    for (const name of wanted) if (fields.elements[name].value) body.append(name, fields.elements[name].value);
    // Small fields first, so that the server can refuse before it has read the file.
    body.append('file', fields.elements.file.files[0]);
    if (kind === 'model' && fields.elements.audio.files[0]) body.append('audio', fields.elements.audio.files[0]);
    const bar = fields.querySelector('progress');
    bar.hidden = false;
    try {
      await send(kind === 'avatar' ? urls.avatars : urls.models, body, {}, (part) => (bar.value = part));
    } catch (error) {
      throw MISSING.includes(error.status) ? Object.assign(error, { message: `This server takes no ${kind}s here: import it with the program.` }) : error;
    } finally {
      bar.hidden = true;
    }
    tell(`The ${kind} ${body.get('id')} is on the server and being made.`);
    this.#follow();
  }

  /** Follows the imports until none runs. */
  #follow() {
    this.#asking ??= this.#watch().finally(() => (this.#asking = null));
    return this.#asking;
  }

  async #watch() {
    for (;;) {
      let jobs;
      try {
        ({ jobs } = await (await call(urls.jobs)).json());
      } catch {
        // A server without imports has none that run.
        return;
      }
      const ran = this.#jobs.filter(({ state }) => state === 'running').map(({ id }) => id);
      this.#jobs = jobs;
      this.#showJobs();
      for (const job of jobs.filter(({ id, state }) => ran.includes(id) && state !== 'running')) this.#over(job);
      if (!jobs.some(({ state }) => state === 'running')) return;
      await new Promise((resolve) => setTimeout(resolve, JOBS));
    }
  }

  #over(job) {
    if (job.state === 'done') tell(`The import is done. ${verdictOf(job.verdict)}`);
    else complain(`The import ended: ${job.error ?? job.state}`);
    this.#loadAvatars();
    this.#loadModels();
  }

  #showJobs() {
    const running = this.#jobs.filter(({ state }) => state === 'running');
    const past = this.#jobs.filter(({ state }) => state !== 'running').slice(-KEPT);
    keep($('jobs'), [...running, ...past], ({ id }) => id, (job) => this.#job(job), (row, job) => {
      const left = Number.isFinite(job.seconds_left) ? `, ${length(job.seconds_left)} left` : '';
      const runs = job.state === 'running';
      row.dataset.state = job.state;
      setText(row.querySelector('.word'), runs ? `${Math.round(job.progress * 100)} %${left}` : job.state);
      setText(row.querySelector('.who'), runs ? (job.phase ?? '') : (job.error ?? verdictOf(job.verdict)));
      row.querySelector('progress').value = job.progress;
      row.querySelector('progress').hidden = !runs;
      row.querySelector('button').hidden = !runs;
    });
  }

  #job({ id, kind, makes }) {
    const title = `${kind} ${decodeURIComponent(makes.split('/').pop())}`;
    const stop = iconButton('stop', `Stop the import of the ${title}`, (event) =>
      act(event.currentTarget, async () => {
        await ask('DELETE', one(urls.jobs, id));
        this.#follow();
      }));
    return el('li', {}, el('b', { textContent: title }), el('span', { class: 'word' }), stop,
      el('progress', { max: 1, 'aria-label': `Import of the ${title}` }), el('span', { class: 'who' }));
  }
}
