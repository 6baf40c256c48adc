// The microphone, published by WHIP: what is said here, the face says.

import { call, Refusal, urls } from './api.js';
import { iceServers } from './player.js';

/** An offer goes out with the addresses found in this time, in ms; relays take longer than interfaces. */
const GATHER = { direct: 250, relayed: 2000 };
/** A connection that hasn't come up by then is given up, in ms. */
const CONNECT = 8000;

/** What a microphone that can't be had means, by the error's name. */
const WORDS = {
  NotAllowedError: 'The browser was not allowed to listen: permit the microphone for this page, and try again.',
  NotFoundError: 'There is no microphone on this machine.',
  NotReadableError: 'The microphone is in use by another program, or does not work.',
};

/** A connection's end that was not asked for. */
const LOST = 'The connection that your voice went over was lost.';

/**
 * Publishes the microphone. Tells `state` events, whose detail is `{state, reason}`; the states are `off`, `starting`
 * and `on`, and the reason is a sentence where `off` was not asked for.
 */
export class Publisher extends EventTarget {
  #whip;
  #round = null;
  #pc = null;
  #stream = null;
  #resource = null;

  /** @param {URL} whip the session's WHIP address */
  constructor(whip = urls.whip) {
    super();
    this.#whip = whip;
  }

  /** Begins to publish, or ends it. */
  async toggle() {
    if (this.#round) this.stop();
    else await this.#start();
  }

  /** Ends it and gives the place back; safe while the page goes away. */
  stop(reason = '') {
    if (!this.#round) return;
    this.#round.abort();
    this.#round = null;
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#pc?.close();
    // The address is the secret: DELETE needs no token. It may outlive the page.
    if (this.#resource) fetch(this.#resource, { method: 'DELETE', keepalive: true }).catch(() => {});
    this.#stream = this.#pc = this.#resource = null;
    this.#tell('off', reason);
  }

  async #start() {
    const round = new AbortController();
    this.#round = round;
    this.#tell('starting');
    try {
      await this.#connect(round.signal);
      if (!round.signal.aborted) this.#tell('on');
    } catch (error) {
      if (!round.signal.aborted) this.stop(words(error));
    }
  }

  async #connect(signal) {
    if (!navigator.mediaDevices) throw new Refusal('Browsers lend the microphone only to pages by HTTPS, or on this machine.', 0, 0);
    const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };
    const stream = await navigator.mediaDevices.getUserMedia({ audio });
    if (signal.aborted) return stream.getTracks().forEach((track) => track.stop());
    this.#stream = stream;
    const patience = AbortSignal.any([signal, AbortSignal.timeout(CONNECT)]);
    const options = await call(this.#whip, { method: 'OPTIONS', signal: patience });
    const servers = iceServers(options.headers.get('Link'));
    const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle', iceServers: servers });
    this.#pc = pc;
    const [track] = stream.getAudioTracks();
    track.addEventListener('ended', () => this.stop('The microphone was unplugged.'));
    pc.addTransceiver(track, { direction: 'sendonly', streams: [stream] });
    await pc.setLocalDescription();
    await gathered(pc, servers.length ? GATHER.relayed : GATHER.direct);
    const answer = await call(this.#whip, {
      method: 'POST',
      headers: { 'Content-Type': 'application/sdp' },
      body: pc.localDescription.sdp,
      signal: patience,
    });
    const place = new URL(answer.headers.get('Location'), answer.url);
    if (signal.aborted) return void fetch(place, { method: 'DELETE', keepalive: true }).catch(() => {});
    this.#resource = place;
    await pc.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
    await connected(pc, patience);
    pc.addEventListener('connectionstatechange', () => {
      if (['failed', 'closed'].includes(pc.connectionState) && pc === this.#pc) this.stop(LOST);
    });
  }

  #tell(state, reason = '') {
    this.dispatchEvent(new CustomEvent('state', { detail: { state, reason } }));
  }
}

function words(error) {
  if (error instanceof Refusal) return error.message;
  return WORDS[error.name] ?? 'Your voice did not reach the server: try again.';
}

function gathered(pc, patience) {
  return new Promise((resolve) => {
    const look = () => pc.iceGatheringState === 'complete' && resolve();
    pc.addEventListener('icegatheringstatechange', look);
    setTimeout(resolve, patience);
    look();
  });
}

function connected(pc, signal) {
  return new Promise((resolve, reject) => {
    const look = () => {
      if (pc.connectionState === 'connected') resolve();
      if (['failed', 'closed'].includes(pc.connectionState)) reject(new Error('no way to the server was found'));
    };
    pc.addEventListener('connectionstatechange', look);
    signal.addEventListener('abort', () => reject(new Error('the connection did not come up')), { once: true });
    look();
  });
}
