// The event log of the chosen session, in sentences.

import { $, count, el } from './dom.js';

/** Lines that are kept: what the server keeps, twice. */
const KEPT = 200;

const s = (ms) => `${(ms / 1000).toFixed(1)} s`;
const few = (first, last) => (first === last ? `Utterance ${first}` : `Utterances ${first} to ${last}`);

const WORDS = {
  speech_started: ({ utterance }) => `Utterance ${utterance} began`,
  speech_finished: ({ utterance, played_ms: played, interrupted }) =>
    `Utterance ${utterance} ${interrupted ? 'was cut off after' : 'was spoken,'} ${s(played)}`,
  speech_dropped: ({ first, last }) => `${few(first, last)} will not be spoken`,
  state: ({ state }) => (state === 'talking' ? 'Talking' : 'At rest'),
  viewers: ({ viewers }) => count(viewers, 'viewer'),
  publisher: ({ state }) => (state === 'joined' ? 'A voice is published' : 'The published voice has left'),
  memory: ({ level }) => `Memory is ${level === 'normal' ? 'normal again' : `at the level ${level}`}`,
  device: ({ heard, detail }) => (heard ? `The microphone is heard: ${detail}` : `The microphone is lost: ${detail}`),
  avatar: ({ avatar }) => `The avatar is ${avatar}`,
  model: ({ model }) => `The model is ${model}`,
  action: ({ clip, state, interrupted }) =>
    `Action ${clip} ${state === 'started' ? 'began' : state === 'dropped' ? 'will not be played' : interrupted ? 'was cut short' : 'was played'}`,
  recording: ({ recording, state, reason }) => `Recording ${recording} ${state}${reason ? `: ${reason.replaceAll('_', ' ')}` : ''}`,
  job: ({ kind, state, progress, phase }) =>
    `Import of ${kind === 'avatar' ? 'an avatar' : `a ${kind}`}: ${state === 'running' ? `${Math.round((progress ?? 0) * 100)} %${phase ? `, ${phase}` : ''}` : state}`,
  reply: ({ utterance, text }) => `Answer, utterance ${utterance}: ${text}`,
  reply_ended: ({ whole, error }) => (error ? `The answer broke off: ${error}` : whole ? 'The answer is whole' : 'The answer was cut off'),
  ended: () => 'The session ended',
};

/** What is worth a colour. */
const LOUD = {
  speech_started: 'good', speech_dropped: 'bad', device: 'bad', memory: 'bad', ended: 'bad', recording: 'good', job: 'good',
};

/** Events that the console doesn't know yet are shown as they are. */
function say(event) {
  const { type, ...rest } = event;
  if (WORDS[type]) return WORDS[type](event);
  const fields = Object.entries(rest).map(([name, value]) => `${name} ${typeof value === 'object' ? JSON.stringify(value) : value}`);
  return [type.replaceAll('_', ' '), ...fields].join(', ');
}

/** Follows the events of the chosen session. */
export function showLog(desk) {
  const list = $('log');
  desk.addEventListener('chosen', () => list.replaceChildren());
  desk.addEventListener('told', ({ detail: { event, kept } }) => {
    const time = kept ? 'before' : new Date().toLocaleTimeString([], { hourCycle: 'h23' });
    const line = el('li', { 'data-tone': LOUD[event.type] ?? '' }, el('time', { textContent: time }), el('span', { textContent: say(event) }));
    // An import tells often: its line goes on.
    const last = list.firstChild;
    if (event.type === 'job' && last?.dataset.job === event.id) last.remove();
    if (event.type === 'job') line.dataset.job = event.id;
    list.prepend(line);
    while (list.children.length > KEPT) list.lastChild.remove();
  });
}
