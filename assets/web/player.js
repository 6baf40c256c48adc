// A WHEP player that doesn't give up: it connects, watches that pictures come, and connects again.

import { call, credentials, PASSING, Refusal, urls } from './api.js';

/** Waits between two attempts, in ms: quick at first, never over two seconds. */
const BACK_OFF = [250, 500, 1000, 2000];
/** Longest that a server may make us wait by Retry-After, in ms. */
const LONGEST_WAIT = 30_000;
/** Without a new picture for so long the connection is taken for dead, in ms. */
const STALL = 3000;
/** The same when there is another sign that the server is away, in ms. */
const STALL_IN_DOUBT = 800;
/** How often pictures are counted, in ms. */
const LOOK = 500;
/** An offer goes out with the addresses found in this time, in ms; relays take longer than interfaces. */
const GATHER = { direct: 250, relayed: 2000 };
/** A connection that hasn't come up by then is tried anew, in ms. */
const CONNECT = 8000;

const pause = (ms, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
  });

/** `Link: <turn:…>; rel="ice-server"; username="…"; credential="…"` as RTCIceServers. */
export function iceServers(link) {
  const servers = [];
  for (const [, url, rest] of (link ?? '').matchAll(/<([^>]+)>((?:\s*;\s*[\w-]+="(?:[^"\\]|\\.)*")*)/g)) {
    const given = Object.fromEntries(
      [...rest.matchAll(/([\w-]+)="((?:[^"\\]|\\.)*)"/g)].map(([, name, value]) => [name, value.replace(/\\(.)/g, '$1')]),
    );
    if (given.rel !== 'ice-server') continue;
    const secret = given.username ? { username: given.username, credential: given.credential } : {};
    servers.push({ urls: url, ...secret });
  }
  return servers;
}

/**
 * Plays the session in a video element.
 *
 * Tells `state` events, whose detail is `{state, reason, retryMs, status}`; the states are `connecting`, `playing`,
 * `reconnecting`, `waiting` (the server says when to come back), `away` (no server answers) and `refused` (by
 * `status`; a 401 ends the playing until `start` is called with a token, the others are tried again).
 * Tells `leaving` just before a connection is closed, while its last picture is still there.
 */
export class Player extends EventTarget {
  #video;
  #whep;
  #pc = null;
  #resource = null;
  #round = null;
  #attempts = 0;
  #patience = STALL;

  /**
   * @param {HTMLVideoElement} video where the picture goes
   * @param {URL} whep the session's WHEP address
   */
  constructor(video, whep = urls.whep) {
    super();
    this.#video = video;
    this.#whep = whep;
  }

  /** The live connection's statistics, or null while there is none. */
  async stats() {
    return this.#pc?.connectionState === 'connected' ? this.#pc.getStats() : null;
  }

  /** Begins to play, anew if it plays already; at `whep`, another session's address, if that is given. */
  async start(whep = this.#whep) {
    this.stop();
    this.#whep = whep;
    const round = new AbortController();
    this.#round = round;
    let before = 'connecting';
    while (!round.signal.aborted) {
      this.#tell(before);
      try {
        await this.#connect(round.signal);
        if (round.signal.aborted) return;
        this.#attempts = 0;
        this.#tell('playing');
        await this.#lost(round.signal);
        before = 'reconnecting';
      } catch (error) {
        if (round.signal.aborted) return;
        before = await this.#afterTrouble(error, round.signal);
        if (!before) return;
      }
      if (!round.signal.aborted) this.#leave();
    }
  }

  /** Takes note that the server doesn't answer elsewhere: without pictures too, it is away. */
  doubt() {
    this.#patience = STALL_IN_DOUBT;
  }

  /** Stops playing and gives the place back; safe while the page goes away. */
  stop() {
    this.#round?.abort();
    this.#leave();
  }

  #tell(state, { reason = '', retryMs = 0, status = 0 } = {}) {
    this.dispatchEvent(new CustomEvent('state', { detail: { state, reason, retryMs, status } }));
  }

  /** Waits as long as the trouble asks for. Gives the next state, or nothing when it is of no use to go on. */
  async #afterTrouble(error, signal) {
    this.#leave();
    const step = BACK_OFF[Math.min(this.#attempts++, BACK_OFF.length - 1)];
    if (error instanceof Refusal) {
      const { message: reason, status } = error;
      const passing = PASSING.has(status) || status >= 500;
      const retryMs = passing ? Math.min(error.retryAfter * 1000 || step, LONGEST_WAIT) : 0;
      this.#tell(passing ? 'waiting' : 'refused', { reason, retryMs, status });
      if (status === 401) return null;
      // Even what should not pass may: a session is made, a server is configured anew.
      await pause(retryMs || BACK_OFF.at(-1), signal);
      return 'connecting';
    }
    if (error instanceof TypeError) {
      this.#tell('away');
      await this.#serverBack(signal);
      return 'reconnecting';
    }
    this.#tell('reconnecting');
    await pause(step, signal);
    return 'reconnecting';
  }

  /** Returns when some server answers. */
  async #serverBack(signal) {
    for (let n = 0; !signal.aborted; n++) {
      await pause(BACK_OFF[Math.min(n, BACK_OFF.length - 1)], signal);
      try {
        await fetch(urls.health, { cache: 'no-store', signal: AbortSignal.timeout(2000) });
        return;
      } catch {
        // Still away.
      }
    }
  }

  async #connect(signal) {
    const patience = AbortSignal.any([signal, AbortSignal.timeout(CONNECT)]);
    const options = await fetch(this.#whep, { method: 'OPTIONS', headers: credentials(), signal: patience });
    const servers = iceServers(options.headers.get('Link'));
    const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle', iceServers: servers });
    this.#pc = pc;
    const stream = new MediaStream();
    for (const kind of ['video', 'audio']) {
      const { receiver } = pc.addTransceiver(kind, { direction: 'recvonly' });
      // A conversation wants its sound now; the network's own jitter is added to this.
      if ('jitterBufferTarget' in receiver) receiver.jitterBufferTarget = 0;
      stream.addTrack(receiver.track);
    }
    await pc.setLocalDescription();
    await this.#gathered(pc, servers.length ? GATHER.relayed : GATHER.direct, signal);
    const answer = await call(this.#whep, {
      method: 'POST',
      headers: { 'Content-Type': 'application/sdp' },
      body: pc.localDescription.sdp,
      signal: patience,
    });
    const place = answer.headers.get('Location');
    this.#resource = place && new URL(place, answer.url);
    await pc.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
    await this.#connected(pc, signal);
    // Only now, so that the last picture of the connection before stays until there is a new one.
    this.#video.srcObject = stream;
    this.#video.play().catch(() => {
      // The browser wants a click first; the button that is there anyway is one.
    });
  }

  #gathered(pc, patience, signal) {
    if (pc.iceGatheringState === 'complete') return Promise.resolve();
    return Promise.race([
      new Promise((resolve) =>
        pc.addEventListener('icegatheringstatechange', () => pc.iceGatheringState === 'complete' && resolve()),
      ),
      pause(patience, signal),
    ]);
  }

  #connected(pc, signal) {
    return new Promise((resolve, reject) => {
      const look = () => {
        if (pc.connectionState === 'connected') resolve();
        if (['failed', 'closed'].includes(pc.connectionState)) reject(new Error('no way to the server was found'));
      };
      pc.addEventListener('connectionstatechange', look);
      signal.addEventListener('abort', () => resolve(), { once: true });
      setTimeout(() => reject(new Error('the connection did not come up')), CONNECT);
      look();
    });
  }

  /** Returns when the connection has failed, or when no picture came for too long. */
  async #lost(signal) {
    const pc = this.#pc;
    let seen = -1;
    let changed = performance.now();
    this.#patience = STALL;
    while (!signal.aborted) {
      await pause(LOOK, signal);
      if (['failed', 'closed'].includes(pc.connectionState)) return;
      const now = await pictures(pc);
      // A page in the background wakes up rarely: what counts is whether pictures came meanwhile.
      if (now !== seen) changed = performance.now();
      else if (performance.now() - changed > this.#patience) return;
      seen = now;
    }
  }

  /** Gives the place back and closes the connection. */
  #leave() {
    if (this.#pc) this.dispatchEvent(new Event('leaving'));
    if (this.#resource) {
      // The address is the secret: DELETE needs no token. It may outlive the page.
      fetch(this.#resource, { method: 'DELETE', keepalive: true }).catch(() => {});
    }
    this.#resource = null;
    this.#pc?.close();
    this.#pc = null;
  }
}

/** Pictures so far: those that were decoded, or, on a page that nobody sees and that may decode none, received. */
async function pictures(pc) {
  for (const entry of (await pc.getStats()).values()) {
    if (entry.type !== 'inbound-rtp' || entry.kind !== 'video') continue;
    return (document.hidden ? entry.framesReceived : entry.framesDecoded) ?? 0;
  }
  return 0;
}
