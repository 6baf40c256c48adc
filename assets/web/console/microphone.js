// The microphone of whoever sits here, as the voice of the chosen session.

import { Publisher } from '../publish.js';
import { $, complain, setText, tell } from './dom.js';

const WORDS = { off: 'Microphone', starting: 'Connecting', on: 'Microphone is on' };

export class Microphone {
  #desk;
  #publisher = null;

  /** @param {import('./desk.js').Desk} desk */
  constructor(desk) {
    this.#desk = desk;
    desk.addEventListener('chosen', () => this.#begin());
    desk.addEventListener('look', () => ($('microphone').disabled = !desk.chosen));
    addEventListener('pagehide', () => this.#publisher?.stop());
    $('microphone').addEventListener('click', () => {
      complain(null);
      this.#publisher.toggle();
    });
  }

  /** Another session has another address; the voice doesn't follow unasked. */
  #begin() {
    this.#publisher?.stop();
    const { id, urls } = this.#desk;
    this.#publisher = new Publisher(urls.whip);
    this.#publisher.addEventListener('state', ({ detail: { state, reason } }) => {
      $('microphone').setAttribute('aria-pressed', state === 'on');
      setText($('microphone').querySelector('span'), WORDS[state]);
      if (reason) complain(reason);
      if (state === 'on') tell(`Your microphone is the voice of ${id}.`);
    });
  }
}
