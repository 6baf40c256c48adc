// Named clips of the chosen session's avatar, played when told.

import { ask, call, inWords, one, urls } from '../api.js';
import { $, act, el, keep, setText, tell } from './dom.js';

const MISSING = 'This server doesn’t tell the clips of an avatar, so none can be played from here.';
const NONE = 'This avatar has no clip but the one it rests in.';

export class Actions {
  #desk;
  #avatar = null;
  #clips = [];

  /** @param {import('./desk.js').Desk} desk */
  constructor(desk) {
    this.#desk = desk;
    desk.addEventListener('look', () => this.#follow());
    desk.addEventListener('server', () => (this.#avatar = null));
  }

  /** Asks for the clips whenever another avatar is shown. */
  async #follow() {
    const avatar = this.#desk.chosen?.avatar;
    if (!avatar || avatar === this.#avatar) return;
    this.#avatar = avatar;
    let note = '';
    let clips = [];
    try {
      ({ clips } = await (await call(one(urls.avatars, avatar))).json());
      if (clips.length < 2) note = NONE;
    } catch (error) {
      note = error.status === 404 || error.status === 501 ? MISSING : inWords(error);
    }
    if (avatar !== this.#avatar) return;
    // Names, or objects that have one.
    this.#clips = clips.map((clip) => clip.name ?? clip).filter((clip) => clip !== 'idle');
    this.#show(note);
  }

  #show(note) {
    const all = this.#clips.length ? [...this.#clips, 'idle'] : [];
    keep($('clips'), all, (clip) => clip, (clip) => el('button', {
      type: 'button', class: 'button quiet small', textContent: clip === 'idle' ? 'Back to rest' : clip,
      onclick: (event) => this.#play(clip, event.currentTarget),
    }), () => {});
    $('action-how').hidden = !all.length;
    $('actions-note').hidden = !note;
    setText($('actions-note'), note);
  }

  async #play(clip, button) {
    const loops = Math.max(1, Math.round(Number($('loops').value)) || 1);
    const how = clip === 'idle' ? { clip } : { clip, when: $('when').value, loops };
    const taken = await act(button, () => ask('POST', this.#desk.urls.action, how).then(() => true));
    if (taken) tell(clip === 'idle' ? 'Back to rest.' : `${clip}: ${how.when === 'now' ? 'now' : 'at the next pause'}${loops > 1 ? `, ${loops} times` : ''}.`);
  }
}
