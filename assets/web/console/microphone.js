// The microphone of whoever sits here, as the voice of the chosen session: WHIP (RFC 9725).

import { call } from '../api.js';
import { $, act, complain, setText, tell } from './dom.js';

/** An offer goes out with the addresses found in this time, in ms. */
const GATHER = 250;
const MISSING = [404, 405, 501];

/** Sends `track` to `url` until `stop` is called; `lost` when the connection is. */
async function publish(url, track, lost) {
  const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  let place = null;
  const stop = () => {
    pc.close();
    // The address is the secret; it may outlive the page.
    if (place) fetch(place, { method: 'DELETE', keepalive: true }).catch(() => {});
    place = null;
  };
  try {
    pc.addTransceiver(track, { direction: 'sendonly' });
    pc.addEventListener('connectionstatechange', () => pc.connectionState === 'failed' && lost());
    await pc.setLocalDescription();
    await new Promise((resolve) => setTimeout(resolve, GATHER));
    const answer = await call(url, { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: pc.localDescription.sdp });
    place = new URL(answer.headers.get('Location'), answer.url);
    await pc.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
    return stop;
  } catch (error) {
    stop();
    throw error;
  }
}

export class Microphone {
  #desk;
  #button = $('microphone');
  #stop = null;

  /** @param {import('./desk.js').Desk} desk */
  constructor(desk) {
    this.#desk = desk;
    desk.addEventListener('chosen', () => this.#end());
    desk.addEventListener('look', () => (this.#button.disabled = !desk.chosen));
    addEventListener('pagehide', () => this.#end());
    this.#button.addEventListener('click', () => (this.#stop ? this.#end() : act(this.#button, () => this.#begin())));
  }

  async #begin() {
    const { id, urls: { whip } } = this.#desk;
    const sound = await this.#open();
    if (!sound) return;
    const [track] = sound.getAudioTracks();
    const lost = () => {
      this.#end();
      complain('The microphone lost its connection to the server. Please switch it on again.');
    };
    try {
      const stop = await publish(whip, track, lost);
      this.#stop = () => (stop(), track.stop());
    } catch (error) {
      track.stop();
      if (MISSING.includes(error.status)) complain('This server takes no microphone from a page.');
      else throw error;
      return;
    }
    // Somebody may have chosen another session while it connected.
    if (this.#desk.id !== id) return this.#end();
    track.addEventListener('ended', () => this.#end());
    this.#show();
    tell(`Your microphone is the voice of ${id}.`);
  }

  async #open() {
    try {
      return await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
    } catch (error) {
      const why = {
        NotAllowedError: 'This page may not use the microphone: allow it in the browser.',
        NotFoundError: 'There is no microphone here.',
        NotReadableError: 'The microphone can’t be opened: another program may have it.',
      };
      // Browsers lend it to pages over HTTPS and of this machine only.
      complain(isSecureContext ? (why[error.name] ?? 'The microphone can’t be opened.') : 'Browsers give a microphone to pages over HTTPS, or of this machine, only.');
      return null;
    }
  }

  #end() {
    this.#stop?.();
    this.#stop = null;
    this.#show();
  }

  #show() {
    const on = Boolean(this.#stop);
    this.#button.setAttribute('aria-pressed', on);
    setText(this.#button.querySelector('span'), on ? 'Microphone is on' : 'Microphone');
  }
}
