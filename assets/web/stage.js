// The live picture: the video, what lies over it while there is none, and its sound.

const STATES = {
  connecting: 'Connecting',
  reconnecting: 'Reconnecting',
  away: 'The server is away',
  waiting: 'Waiting',
  refused: 'Not connected',
  idle: 'At rest',
  talking: 'Talking',
};

const $ = (id) => document.getElementById(id);
const root = document.documentElement;

/** Only a change is written, so that a screen reader hears each state once. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Shows what a player and its server say; the document's `data-state`, `data-picture` and `data-heard` are what styles go by. */
export class Stage {
  #video;
  #link = { state: 'connecting', reason: '', until: 0 };
  #session = null;

  /**
   * @param {HTMLVideoElement} video
   * @param {import('./player.js').Player} player that plays in it
   */
  constructor(video, player) {
    this.#video = video;
    player.addEventListener('state', ({ detail }) => {
      this.#link = { state: detail.state, reason: detail.reason, until: performance.now() + detail.retryMs };
      this.show(detail.state === 'playing' ? this.#session : null);
    });
    // A closed connection leaves a black picture; its last one stays instead, dimmed, until there is a new one.
    player.addEventListener('leaving', () => this.#keep());
    video.addEventListener('resize', () => {
      if (video.videoWidth) $('stage').style.setProperty('--shape', video.videoWidth / video.videoHeight);
    });
    video.addEventListener('playing', () => {
      root.dataset.picture = 'yes';
      $('still').hidden = true;
    });
    $('hear').addEventListener('click', () => this.#hear());
    $('mute').addEventListener('click', () => (video.muted = !video.muted));
    video.addEventListener('volumechange', () => this.#showSound());
  }

  /** The player's state, as `Player` tells it. */
  get link() {
    return this.#link.state;
  }

  /** Shows the session as the server tells it; null while nothing is known. */
  show(session) {
    this.#session = session;
    const link = this.#link;
    const state = link.state === 'playing' ? (session?.state ?? 'idle') : link.state;
    const left = Math.ceil((link.until - performance.now()) / 1000);
    setText($('reason'), link.reason || (link.state === 'away' ? 'The picture comes back by itself.' : ''));
    setText($('again'), left > 0 ? `Trying again in ${left} s.` : '');
    setText($('state-text'), STATES[state] ?? state);
    root.dataset.state = state;
  }

  /** Forgets the picture: another session's comes. */
  clear() {
    delete root.dataset.picture;
    $('still').hidden = true;
    this.#session = null;
  }

  #keep() {
    const still = $('still');
    const { videoWidth: width, videoHeight: height } = this.#video;
    if (!width || !still.hidden) return;
    [still.width, still.height] = [width, height];
    still.getContext('2d').drawImage(this.#video, 0, 0);
    still.hidden = false;
  }

  #hear() {
    root.dataset.heard = 'yes';
    this.#video.muted = false;
    this.#video.play().catch(() => {
      // Nothing to play yet; it starts when there is.
    });
    this.#showSound();
    $('mute').focus({ preventScroll: true });
  }

  #showSound() {
    const { muted } = this.#video;
    $('hear').hidden = !muted || root.dataset.heard === 'yes';
    $('mute').hidden = root.dataset.heard !== 'yes';
    const word = muted ? 'Unmute' : 'Mute';
    $('mute').setAttribute('aria-label', word);
    $('mute').title = word;
    $('mute').querySelector('use').setAttribute('href', muted ? '#icon-muted' : '#icon-sound');
  }
}
