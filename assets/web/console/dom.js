// Elements, sentences and questions, as every part of the console needs them.

import { inWords } from '../api.js';
import { askForToken } from '../ask.js';

export { setText } from '../stage.js';

export const $ = (id) => document.getElementById(id);

/** How long a sentence about what went well stays, in ms. */
const DONE = 6000;

/** An element: its fields, `class`, `data-…` and `aria-…` among them, and its children. */
export function el(name, fields = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(fields)) {
    if (key === 'class') element.className = value;
    else if (key.includes('-')) element.setAttribute(key, value);
    else if (key === 'onclick') element.addEventListener('click', value);
    else element[key] = value;
  }
  element.append(...children);
  return element;
}

/** One of the page's icons. */
export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  svg.setAttribute('aria-hidden', 'true');
  use.setAttribute('href', `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** A button that is an icon. */
export const iconButton = (name, label, onclick) =>
  el('button', { type: 'button', class: 'icon', title: label, 'aria-label': label, onclick }, icon(name));

/** What went wrong, until the next thing that is tried, or it is put away. */
export function complain(text) {
  $('message').hidden = !text;
  $('message-text').textContent = text ?? '';
}

$('message-close').addEventListener('click', () => complain(null));

let going = 0;

/** What went well, for a moment. */
export function tell(text) {
  $('done').textContent = text;
  clearTimeout(going);
  going = setTimeout(() => ($('done').textContent = ''), DONE);
}

/** A refusal, in words, or the question for the token. */
export function trouble(error, say = complain) {
  if (error.status === 401) askForToken();
  else say(inWords(error));
}

/** Does `work`, during which `button` is of no use; gives what it gives, or undefined when it was refused. */
export async function act(button, work, say = complain) {
  if (button.getAttribute('aria-busy')) return undefined;
  complain(null);
  button.setAttribute('aria-busy', 'true');
  try {
    return await work();
  } catch (error) {
    trouble(error, say);
    return undefined;
  } finally {
    button.removeAttribute('aria-busy');
  }
}

/** Asks whether something shall be deleted. */
export function sure(title, text, yes = 'Delete') {
  const dialog = $('confirm');
  $('confirm-title').textContent = title;
  $('confirm-text').textContent = text;
  $('confirm-yes').textContent = yes;
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true });
  });
}

/** Opens a dialog with an empty form, whose `[data-close]` closes it; `send(form)` closes it too, unless it throws. */
export function form(dialog, send) {
  const fields = dialog.querySelector('form');
  const said = dialog.querySelector('.trouble');
  const say = (text) => ([said.textContent, said.hidden] = [text, !text]);
  dialog.querySelector('[data-close]').addEventListener('click', () => dialog.close());
  dialog.addEventListener('close', () => say(''));
  fields.addEventListener('submit', async (event) => {
    event.preventDefault();
    say('');
    const done = await act(fields.querySelector('[type=submit]'), async () => (await send(fields), true), say);
    if (done) dialog.close();
  });
}

/** Fills a select with `[value, label]` and keeps what is chosen; nothing happens where nothing changed. */
export function options(select, wanted) {
  const key = JSON.stringify(wanted);
  if (select.dataset.key === key) return;
  select.dataset.key = key;
  const chosen = select.value;
  select.replaceChildren(...wanted.map(([value, label]) => el('option', { value, textContent: label })));
  if (wanted.some(([value]) => value === chosen)) select.value = chosen;
}

/**
 * Makes the children of `list` those of `items`, in their order: `make(item)` for a new one, `show(element, item)` for each.
 * What stays isn't touched, so that the focus stays too.
 */
export function keep(list, items, key, make, show) {
  const before = new Map([...list.children].map((child) => [child.dataset.key, child]));
  let last = null;
  for (const item of items) {
    const id = key(item);
    let child = before.get(id);
    if (!child) {
      child = make(item);
      child.dataset.key = id;
    }
    before.delete(id);
    show(child, item);
    const place = last ? last.nextSibling : list.firstChild;
    if (child !== place) list.insertBefore(child, place);
    last = child;
  }
  for (const gone of before.values()) {
    // Who works by keyboard goes on from where they were.
    const near = gone.contains(document.activeElement) && (gone.nextElementSibling ?? gone.previousElementSibling ?? list.closest('section'));
    gone.remove();
    if (near) near.querySelector('button, a')?.focus();
  }
}

export const megabytes = (bytes) => {
  const mb = bytes / (1 << 20);
  return `${mb < 10 ? mb.toFixed(1) : Math.round(mb)} MB`;
};

export function length(s) {
  if (s < 60) return `${s < 10 ? s.toFixed(1) : Math.round(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`;
  if (s < 172_800) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86_400)} days`;
}

export const count = (n, word) => `${n} ${word}${n === 1 ? '' : 's'}`;
