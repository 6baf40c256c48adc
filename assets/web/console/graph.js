// A graph that moves: the last minutes of one or two figures.

import { el, setText } from './dom.js';

/** Looks that are shown, one a second: three minutes. */
export const SHOWN = 180;
const [WIDTH, HEIGHT] = [SHOWN - 1, 60];

const SVG = 'http://www.w3.org/2000/svg';

function svg(name, fields) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(fields)) element.setAttribute(key, value);
  return element;
}

/** The last `SHOWN` looks at a few figures; null where there was none. */
export class History {
  #looks = [];

  add(values) {
    this.#looks.push(values);
    if (this.#looks.length > SHOWN) this.#looks.shift();
  }

  get looks() {
    return this.#looks;
  }
}

export class Graph {
  #picture;
  #areas;
  #marks;
  #now;
  #top;
  #what;

  /**
   * @param {HTMLElement} place
   * @param {string} what it shows, for who can't see it
   * @param {number} series how many lines, the first of which is filled
   */
  constructor(place, what, series) {
    this.#what = what;
    this.#picture = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', class: 'graph' });
    this.#marks = svg('path', { class: 'mark' });
    this.#areas = Array.from({ length: series }, (_, n) => svg('path', { class: `line line-${n}` }));
    this.#picture.append(this.#marks, ...this.#areas);
    this.#now = el('p', { class: 'now' });
    this.#top = el('span', { class: 'top', 'aria-hidden': 'true' });
    const axis = el('p', { class: 'axis', 'aria-hidden': 'true' }, el('span', { textContent: '3 min ago' }), el('span', { textContent: 'now' }));
    place.append(this.#now, el('div', { class: 'plot' }, this.#picture, this.#top), axis);
  }

  /**
   * Draws `looks`, arrays of a value a line, between 0 and `top`; `marks` are heights worth a line across.
   * `now` is the sentence above, `scale` what stands at the top.
   */
  show(looks, { top, marks = [], now, scale }) {
    const x = (n) => WIDTH - (looks.length - 1 - n);
    const y = (value) => (HEIGHT - (Math.min(value, top) / top) * HEIGHT).toFixed(2);
    this.#areas.forEach((area, line) => {
      let path = '';
      let down = false;
      looks.forEach((values, n) => {
        const value = values?.[line];
        const known = Number.isFinite(value);
        if (known) path += `${down ? 'L' : 'M'}${x(n)} ${y(value)}`;
        down = known;
      });
      area.setAttribute('d', path);
    });
    this.#marks.setAttribute('d', marks.map((value) => `M0 ${y(value)}H${WIDTH}`).join(''));
    setText(this.#now, now);
    setText(this.#top, scale);
    this.#picture.setAttribute('aria-label', `${this.#what}: ${now}`);
  }
}

/** Parts of a whole as one bar, with what they are beneath. */
export class Parts {
  #bar = el('div', { class: 'parts', 'aria-hidden': 'true' });
  #legend = el('dl', { class: 'legend' });

  /** @param {HTMLElement} place */
  constructor(place) {
    place.append(this.#bar, this.#legend);
  }

  /** Shows `[name, value, words]`, the first of them first. */
  show(parts) {
    const sum = parts.reduce((all, [, value]) => all + value, 0);
    while (this.#bar.children.length < parts.length) this.#bar.append(el('span'));
    while (this.#bar.children.length > parts.length) this.#bar.lastChild.remove();
    parts.forEach(([, value], n) => (this.#bar.children[n].style.flexGrow = sum ? value / sum : 0));
    while (this.#legend.children.length < parts.length) this.#legend.append(el('div', {}, el('dt'), el('dd')));
    while (this.#legend.children.length > parts.length) this.#legend.lastChild.remove();
    parts.forEach(([name, , words], n) => {
      setText(this.#legend.children[n].firstChild, name);
      setText(this.#legend.children[n].lastChild, words);
    });
  }
}
