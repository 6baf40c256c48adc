// Talking to the chosen session: text, files, the microphone, and silence.

import { call } from '../api.js';
import { offerChat, onText } from '../say.js';
import { Speech } from '../speech.js';
import { $, act, complain, setText, tell } from './dom.js';

/** How often bars move on, in ms. */
const TICK = 100;
const HOW = 'Enter sends, Shift and Enter begin a new line.';
const NO_VOICE = 'This server has no voice for texts: give tts.provider in its configuration.';

export class Talk {
  #desk;
  #speech = null;

  /** @param {import('./desk.js').Desk} desk */
  constructor(desk) {
    this.#desk = desk;
    desk.addEventListener('chosen', () => this.#begin());
    desk.addEventListener('look', () => this.#show());
    onText((text, how) => this.#speech.say(text, how));
    $('file').addEventListener('change', () => {
      this.give([...$('file').files]);
      $('file').value = '';
    });
    $('interrupt').addEventListener('click', (event) => this.#interrupt(event.currentTarget));
    $('forget').addEventListener('click', (event) => act(event.currentTarget, async () => {
      await call(desk.urls.chat, { method: 'DELETE' });
      tell('The conversation is forgotten.');
    }));
    setInterval(() => {
      const now = desk.chosen?.now;
      this.#speech?.tick(performance.now(), now?.state === 'idle' && !now.queue_s ? desk.asked : -Infinity);
    }, TICK);
  }

  /** Has sound files spoken. */
  give(files) {
    this.#speech?.give(files);
  }

  /** Another session has its own list. */
  #begin() {
    $('utterances').replaceChildren();
    this.#speech?.leave();
    const { speech } = this.#desk.urls;
    this.#speech = new Speech($('utterances'), speech, this.#desk.events, (error) => complain(error?.message));
  }

  #show() {
    const { status, chosen } = this.#desk;
    offerChat(status);
    $('forget').hidden = !status?.text?.chat;
    if (!status) this.#speech?.silenced();
    setText($('text-hint'), status?.text?.speech === false ? NO_VOICE : HOW);
    for (const id of ['interrupt', 'file']) $(id).disabled = !chosen;
  }

  async #interrupt(button) {
    const { interrupt } = this.#desk.urls;
    const cut = await act(button, async () => (await call(interrupt, { method: 'POST' })).json());
    if (!cut) return;
    const more = cut.dropped.length ? `, and ${cut.dropped.length} more not begun` : '';
    if (!cut.interrupted) tell('There was nothing to interrupt.');
    else if (cut.utterance) tell(`Interrupted after ${(cut.played_ms / 1000).toFixed(1)} s${more}.`);
    else tell('Interrupted: what waited is not spoken.');
  }
}
