// Imports of avatars and models: files are sent, and what is made of them is followed.

import { ask, call, one, send, urls } from '../api.js';
import { $, act, complain, el, form, iconButton, keep, length, setText, tell } from './dom.js';
import { MISSING, verdictOf } from './library.js';

/** How often imports are asked about while one runs, in ms. */
const JOBS = 1000;
/** Imports that are over and still shown. */
const KEPT = 3;

/** A file's name as one of ours: letters of a-z, digits, - and _, 64 at most. */
const nameOf = (file) =>
  file.name.replace(/\.[^.]*$/, '').toLowerCase().replace(/[^a-z0-9_-]+/g, '-').replace(/^[-_]+|-+$/g, '').slice(0, 64);

export class Imports {
  #library;
  #jobs = [];
  /** Those whose end is still to be told. */
  #begun = new Set();
  #kind = 'avatar';
  #asking = null;

  /**
   * @param {import('./desk.js').Desk} desk
   * @param {import('./library.js').Library} library what grows by them
   */
  constructor(desk, library) {
    this.#library = library;
    desk.addEventListener('server', () => this.#follow());
    // One that somebody else began.
    desk.addEventListener('told', ({ detail }) => detail.event.type === 'job' && !detail.kept && this.#follow());
    form($('import'), (fields) => this.#import(fields));
    $('add-avatar').addEventListener('click', () => this.open('avatar'));
    $('add-model').addEventListener('click', () => this.open('model'));
    const { file, id } = $('import-form').elements;
    file.addEventListener('change', () => file.files[0] && !id.value && (id.value = nameOf(file.files[0])));
  }

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
      const { job } = await send(kind === 'avatar' ? urls.avatars : urls.models, body, {}, (part) => (bar.value = part));
      this.#begun.add(job.split('/').pop());
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
      this.#jobs = jobs;
      this.#showJobs();
      for (const job of jobs) {
        if (job.state === 'running') this.#begun.add(job.id);
        else if (this.#begun.delete(job.id)) this.#over(job);
      }
      if (!jobs.some(({ state }) => state === 'running')) return;
      await new Promise((resolve) => setTimeout(resolve, JOBS));
    }
  }

  #over(job) {
    if (job.state === 'done') tell(`The import is done. ${verdictOf(job.verdict)}`);
    else complain(`The import ended: ${job.error ?? job.state}`);
    this.#library.load();
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
