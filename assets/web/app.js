// The page: what it shows, and what its buttons do.

import { call, own, token, urls } from './api.js';
import { Figures } from './figures.js';
import { showKeyed } from './key.js';
import { Player } from './player.js';
import { Speech } from './speech.js';

/** How often the server is asked how it is, in ms. */
const STATUS = 500;
/** How often bars move on, in ms. */
const TICK = 100;

const $ = (id) => document.getElementById(id);
const root = document.documentElement;
const video = $('video');

const player = new Player(video);
const figures = new Figures($('figures'));
const speech = new Speech($('utterances'), (error) => complain(error?.message));

/** What the player says, and what the server says of the session; together they are what is shown. */
let link = { state: 'connecting', reason: '', until: 0 };
let session = null;

const STATES = {
  connecting: 'Connecting',
  reconnecting: 'Reconnecting',
  away: 'The server is away',
  waiting: 'Waiting',
  refused: 'Not connected',
  idle: 'At rest',
  talking: 'Talking',
};

function complain(text) {
  $('message').hidden = !text;
  $('message').textContent = text ?? '';
}

function showState() {
  const state = link.state === 'playing' ? (session?.state ?? 'idle') : link.state;
  const left = Math.ceil((link.until - performance.now()) / 1000);
  const short = STATES[state] ?? state;
  setText($('reason'), link.reason || (link.state === 'away' ? 'The picture comes back by itself.' : ''));
  setText($('again'), left > 0 ? `Trying again in ${left} s.` : '');
  setText($('state-text'), short);
  root.dataset.state = state;
  $('interrupt').disabled = link.state !== 'playing';
}

/** Only a change is written, so that a screen reader hears each state once. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function showSession(status) {
  session = own(status);
  $('version').textContent = status.version ? `Version ${status.version}` : '';
  if (!session) return;
  const id = session.avatar ?? 'Mouthpiece';
  const name = id[0].toUpperCase() + id.slice(1);
  setText($('name'), name);
  document.title = `${name} · Mouthpiece`;
}

/** What only the one who controls may do: the viewers' token does none of it, so it isn't offered then. */
let mayControl = true;

function offerControl(may) {
  mayControl = may;
  for (const id of ['drop', 'utterances', 'interrupt']) $(id).hidden = !may;
}

/** Status and statistics, over and over, one request at a time. */
async function watch() {
  for (;;) {
    let status = null;
    if (mayControl && (link.state === 'playing' || link.state === 'waiting')) {
      try {
        status = await (await call(urls.status, { signal: AbortSignal.timeout(3000) })).json();
        showSession(status);
      } catch (error) {
        session = null;
        if (error instanceof TypeError) player.doubt();
        if (error.status === 403) offerControl(false);
      }
    }
    figures.show(status, await player.stats());
    showState();
    await new Promise((resolve) => setTimeout(resolve, STATUS));
  }
}

// ---- the picture without its background: ?key=1 ----

if (new URLSearchParams(location.search).get('key') === '1') {
  root.dataset.keyed = '';
  $('keyed').hidden = false;
  showKeyed(video, $('keyed'));
}

// ---- the connection ----

player.addEventListener('state', ({ detail }) => {
  link = { state: detail.state, reason: detail.reason, until: performance.now() + detail.retryMs };
  if (detail.state !== 'playing') session = null;
  // A server that went took its queue with it.
  if (detail.state === 'away') speech.silenced();
  showState();
  // The one refusal that the person who watches can mend.
  if (detail.status === 401) askForToken();
});

function askForToken() {
  if ($('ask').open) return;
  if (token.get()) $('ask-text').textContent = 'That token was not accepted. Please enter it again.';
  $('token').value = '';
  $('ask').showModal();
}

$('ask-form').addEventListener('submit', () => {
  token.set($('token').value);
  offerControl(true);
  player.start();
});

// Escape would leave a page that shows nothing and says nothing.
$('ask').addEventListener('cancel', (event) => event.preventDefault());

addEventListener('pagehide', () => player.stop());
addEventListener('pageshow', ({ persisted }) => persisted && player.start());
addEventListener('online', () => link.state !== 'playing' && player.start());

// ---- the picture ----

video.addEventListener('resize', () => {
  if (video.videoWidth) $('stage').style.setProperty('--shape', video.videoWidth / video.videoHeight);
});
video.addEventListener('playing', () => {
  root.dataset.picture = 'yes';
  $('still').hidden = true;
});

// A closed connection leaves a black picture; its last one stays instead, dimmed, until there is a new one.
player.addEventListener('leaving', () => {
  const still = $('still');
  if (!video.videoWidth || !still.hidden) return;
  [still.width, still.height] = [video.videoWidth, video.videoHeight];
  still.getContext('2d').drawImage(video, 0, 0);
  still.hidden = false;
});

function showSound() {
  $('hear').hidden = !video.muted || root.dataset.heard === 'yes';
  $('mute').hidden = root.dataset.heard !== 'yes';
  const word = video.muted ? 'Unmute' : 'Mute';
  $('mute').setAttribute('aria-label', word);
  $('mute').title = word;
  $('mute').querySelector('use').setAttribute('href', video.muted ? '#icon-muted' : '#icon-sound');
}

$('hear').addEventListener('click', () => {
  root.dataset.heard = 'yes';
  video.muted = false;
  video.play().catch(() => {
    // Nothing to play yet; it starts when there is.
  });
  showSound();
  $('mute').focus({ preventScroll: true });
});

$('mute').addEventListener('click', () => (video.muted = !video.muted));
video.addEventListener('volumechange', showSound);

if (document.fullscreenEnabled) $('full').hidden = false;
$('full').addEventListener('click', () => {
  if (document.fullscreenElement) document.exitFullscreen();
  else $('stage').requestFullscreen();
});

// ---- speech ----

$('file').addEventListener('change', () => {
  speech.give([...$('file').files]);
  $('file').value = '';
});

$('interrupt').addEventListener('click', async () => {
  try {
    const answer = await (await call(urls.interrupt, { method: 'POST' })).json();
    speech.silenced((answer.played_ms ?? 0) / 1000);
    complain(null);
  } catch (error) {
    complain(error.name === 'Refusal' ? error.message : 'The server did not hear the interruption: it is away.');
  }
});

setInterval(() => speech.tick(performance.now(), session?.state === 'idle' && !session.queue_s), TICK);

// A file may be dropped anywhere on the page; each element left while dragging tells so, hence the count.
let depth = 0;
const holdsFiles = (event) => mayControl && event.dataTransfer?.types.includes('Files');
addEventListener('dragenter', (event) => {
  if (holdsFiles(event) && depth++ === 0) root.dataset.dragging = 'yes';
});
addEventListener('dragleave', (event) => {
  if (holdsFiles(event) && --depth === 0) delete root.dataset.dragging;
});
addEventListener('dragover', (event) => holdsFiles(event) && event.preventDefault());
addEventListener('drop', (event) => {
  if (!holdsFiles(event)) return;
  event.preventDefault();
  depth = 0;
  delete root.dataset.dragging;
  speech.give([...event.dataTransfer.files]);
});

token.takeFromAddress();
if (matchMedia('(pointer: coarse)').matches) $('drop-title').textContent = 'Give a recording, and it is spoken';
player.start();
watch();
