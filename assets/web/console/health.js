// How the server is: memory, the time of a frame, the processor; as figures and as graphs that move.

import { ask, call, urls } from '../api.js';
import { $, act, count, el, keep, length, setText, tell, trouble } from './dom.js';
import { Graph, History, Parts } from './graph.js';

/** How often it is asked who holds the memory, in ms: the kernel walks all pages for it. */
const OWNERS = 5000;
/** Owners of memory that are named. */
const NAMED = 4;
/** Time of one picture at 25 a second, in ms: what all work on it must stay under. */
const PICTURE = 40;

const STAGES = { hear: 'hearing', lipsync: 'lips', compose: 'drawing', encode_sound: 'sound', encode: 'picture' };
const LEVELS = { light: 'being trimmed', hard: 'caches emptied', over: 'over the budget' };

const ms = (value) => `${value.toFixed(1)} ms`;
const mb = (value) => `${Math.round(value)} MB`;
/** A round number a little over `value`, so that the scale stands still. */
const above = (value, step) => Math.ceil((value * 1.1) / step) * step || step;

export class Health {
  #desk;
  #server = new History();
  #frames = new Map();
  #memory = new Graph($('memory'), 'Resident memory over the last three minutes', 1);
  #owners = new Parts($('memory'));
  #frame = new Graph($('frame'), 'Time that a frame takes over the last three minutes', 2);
  #stages = new Parts($('frame'));
  #cpu = new Graph($('cpu'), 'Load of the processor over the last three minutes', 1);
  #busy = el('dl', { class: 'legend' });
  #asked = -Infinity;

  /** @param {import('./desk.js').Desk} desk */
  constructor(desk) {
    this.#desk = desk;
    $('cpu').append(this.#busy);
    desk.addEventListener('look', () => this.#look());
    for (const button of document.querySelectorAll('[data-reclaim]')) {
      button.addEventListener('click', () => this.#reclaim(button));
    }
  }

  #look() {
    const { status, sessions } = this.#desk;
    const known = status?.process;
    this.#server.add(known ? [known.rss_mb, known.cpu_percent] : null);
    for (const id of this.#frames.keys()) if (!sessions.some((session) => session.id === id)) this.#frames.delete(id);
    for (const { id, now } of sessions) {
      if (!this.#frames.has(id)) this.#frames.set(id, new History());
      // What nobody watches is not drawn: its times are old.
      this.#frames.get(id).add(status && now?.fps > 0 ? [now.stages_ms.frame?.p50, now.stages_ms.frame?.p95] : null);
    }
    this.#showServer();
    if (known) this.#showProcess(known);
    this.#showFrame();
    if (known && performance.now() - this.#asked > OWNERS) this.#askOwners();
  }

  #showServer() {
    const { status, sessions } = this.#desk;
    const viewers = sessions.reduce((sum, session) => sum + session.viewers, 0);
    document.documentElement.dataset.server = status ? 'here' : 'away';
    setText($('server-text'), status ? `Version ${status.version}` : 'The server does not answer');
    const totals = status ? [
      ['Up', length(status.uptime_s)],
      ['Sessions', String(sessions.length)],
      ['Viewers', String(viewers)],
    ] : [];
    keep($('totals'), totals, ([label]) => label,
      ([label]) => el('div', {}, el('dt', { textContent: label }), el('dd')),
      (row, [, value]) => setText(row.lastChild, value));
  }

  #showProcess({ rss_mb: rss, budget_mb: budget, cpu_percent: cpu, level, threads }) {
    const { looks } = this.#server;
    const words = LEVELS[level] ? `, ${LEVELS[level]}` : '';
    this.#memory.show(looks, {
      top: budget, marks: [0.7 * budget, 0.9 * budget], now: `${mb(rss)} of ${mb(budget)}${words}`, scale: mb(budget),
    });
    const top = Math.max(100, above(Math.max(...looks.map((look) => look?.[1] ?? 0)), 50));
    this.#cpu.show(looks.map((look) => look && [look[1]]), {
      top, marks: top > 100 ? [100] : [], now: `${Math.round(cpu)} % of a core`, scale: `${top} %`,
    });
    const busy = [['threads', String(Object.values(threads).reduce((sum, n) => sum + n, 0))]];
    const late = this.#desk.sessions.reduce((sum, { now }) => sum + (now?.late_frames ?? 0), 0);
    busy.push(['late frames, all sessions', String(late)]);
    keep(this.#busy, busy, ([label]) => label,
      ([label]) => el('div', {}, el('dt', { textContent: label }), el('dd')),
      (row, [, value]) => setText(row.lastChild, value));
  }

  #showFrame() {
    const { chosen, id } = this.#desk;
    const looks = this.#frames.get(id)?.looks ?? [];
    const stages = chosen?.now?.stages_ms;
    const last = looks.at(-1);
    const top = Math.max(PICTURE / 2, above(Math.max(0, ...looks.map((look) => look?.[1] ?? 0)), 10));
    this.#frame.show(looks, {
      top, marks: top > PICTURE ? [PICTURE] : [], scale: ms(top),
      now: last?.every(Number.isFinite) ? `${ms(last[0])}, 95 of 100 under ${ms(last[1])}` : 'nothing is drawn while nobody watches',
    });
    const parts = Object.entries(STAGES).filter(([name]) => stages?.[name]);
    this.#stages.show(parts.map(([name, word]) => [word, stages[name].mean, ms(stages[name].mean)]));
  }

  async #askOwners() {
    this.#asked = performance.now();
    try {
      const { owners } = await (await call(urls.memory)).json();
      const all = Object.entries(owners).filter(([, bytes]) => bytes > 0).sort(([, a], [, b]) => b - a);
      const rest = all.slice(NAMED).reduce((sum, [, bytes]) => sum + bytes, 0);
      const named = rest ? [...all.slice(0, NAMED), ['other', rest]] : all;
      this.#owners.show(named.map(([name, bytes]) => [name.replaceAll('_', ' '), bytes, mb(bytes / (1 << 20))]));
    } catch (error) {
      if (error.status === 401) trouble(error);
    }
  }

  async #reclaim(button) {
    const done = await act(button, () => ask('POST', urls.reclaim, { level: button.dataset.reclaim }));
    if (!done) return;
    const freed = done.freed_bytes ?? done.reclaimed_bytes;
    tell(Number.isFinite(freed) ? `${(freed / (1 << 20)).toFixed(1)} MB given back.` : 'Memory was given back.');
    this.#asked = -Infinity;
    await this.#desk.refresh();
  }
}
