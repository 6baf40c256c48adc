// One line of figures: what the server says of itself, and what arrives here.

const NONE = '–';
/** Looks, half a second apart, that a rate is taken over. */
const LOOKS = 8;

/** Each figure: its label, and how to say it from {session, process, network}. */
const FIGURES = [
  ['Frames', ({ network, session }) => number(network?.fps ?? session?.fps, 1, 'fps')],
  ['Voice to face', ({ session }) => number(session?.voice_latency_ms || null, 0, 'ms')],
  ['Viewers', ({ session }) => number(session?.viewers, 0)],
  ['Memory', ({ process }) => (process ? `${Math.round(process.rss_mb)} of ${Math.round(process.budget_mb)} MB` : NONE)],
  ['Stream', ({ network }) => number(network?.kbps, 0, 'kbit/s')],
  ['Round trip', ({ network }) => number(network?.rttMs, 0, 'ms')],
];

const number = (value, digits, unit = '') =>
  Number.isFinite(value) ? `${value.toFixed(digits)}${unit && ` ${unit}`}` : NONE;

/** The line at the foot of the page. */
export class Figures {
  #values;
  #looks = [];

  /** @param {HTMLDListElement} line where the figures go */
  constructor(line) {
    this.#values = FIGURES.map(([label]) => {
      const group = document.createElement('div');
      const term = Object.assign(document.createElement('dt'), { textContent: label });
      const value = Object.assign(document.createElement('dd'), { textContent: NONE });
      group.append(term, value);
      line.append(group);
      return value;
    });
  }

  /** Shows the server's status, of which `session` is the one shown, and the connection's statistics; any may be missing. */
  show(session, process, stats) {
    const known = { session, process, network: this.#network(stats) };
    FIGURES.forEach(([, say], n) => (this.#values[n].textContent = say(known)));
  }

  /** Rates over the last few looks, so that a figure doesn't jump with each late packet. */
  #network(stats) {
    if (!stats) return void (this.#looks = []);
    const now = { bytes: 0, frames: 0, at: 0 };
    let rttMs;
    for (const entry of stats.values()) {
      if (entry.type === 'inbound-rtp') {
        now.bytes += entry.bytesReceived ?? 0;
        if (entry.kind === 'video') [now.frames, now.at] = [entry.framesDecoded ?? 0, entry.timestamp];
      }
      if (entry.type === 'candidate-pair' && entry.nominated && entry.currentRoundTripTime != null) {
        rttMs = entry.currentRoundTripTime * 1000;
      }
    }
    // A count that falls is that of a new connection.
    if (this.#looks.at(-1)?.frames > now.frames) this.#looks = [];
    const first = this.#looks[0];
    if (now.frames) this.#looks.push(now);
    if (this.#looks.length > LOOKS) this.#looks.shift();
    const s = first && (now.at - first.at) / 1000;
    if (!(s > 0)) return { rttMs };
    return { rttMs, fps: (now.frames - first.frames) / s, kbps: ((now.bytes - first.bytes) * 8) / s / 1000 };
  }
}
