// The page: what it shows, and what its buttons do.

import { call, inWords, own, token, urls } from './api.js';
import { askForToken, onToken } from './ask.js';
import { onDrop } from './drop.js';
import { Events } from './events.js';
import { Figures } from './figures.js';
import { showKeyed } from './key.js';
import { Player } from './player.js';
import { offerChat, onText } from './say.js';
import { Publisher } from './publish.js';
import { Speech } from './speech.js';
import { setText, Stage } from './stage.js';

/** How often the server is asked how it is, in ms. */
const STATUS = 500;
/** How often bars move on, in ms. */
const TICK = 100;

const $ = (id) => document.getElementById(id);
const root = document.documentElement;
const video = $('video');

const player = new Player(video);
const stage = new Stage(video, player);
const publisher = new Publisher();
const figures = new Figures($('figures'));
const speech = new Speech($('utterances'), urls.speech, new Events(urls.events), (error) => complain(error?.message));

/** What the server says of the session, and when it was asked. */
let session = null;
let asked = -Infinity;

function complain(text) {
  $('message').hidden = !text;
  $('message').textContent = text ?? '';
}

function showSession(status) {
  session = own(status);
  offerChat(status);
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
  for (const id of ['say', 'drop', 'utterances', 'talk', 'interrupt', 'desk']) $(id).hidden = !may;
}

/** Status and statistics, over and over, one request at a time. */
async function watch() {
  for (;;) {
    let status = null;
    if (mayControl && (stage.link === 'playing' || stage.link === 'waiting')) {
      const now = performance.now();
      try {
        status = await (await call(urls.status, { signal: AbortSignal.timeout(3000) })).json();
        showSession(status);
        asked = now;
      } catch (error) {
        session = null;
        if (error instanceof TypeError) player.doubt();
        if (error.status === 403) offerControl(false);
      }
    }
    figures.show(own(status), status?.process, await player.stats());
    stage.show(session);
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
  if (detail.state !== 'playing') session = null;
  // A server that went took its queue with it.
  if (detail.state === 'away') speech.silenced();
  $('interrupt').disabled = detail.state !== 'playing';
  offerTalk();
  // The one refusal that the person who watches can mend.
  if (detail.status === 401) askForToken();
});

onToken(() => {
  offerControl(true);
  player.start();
});

addEventListener('pagehide', () => {
  player.stop();
  publisher.stop();
});
addEventListener('pageshow', ({ persisted }) => persisted && player.start());
addEventListener('online', () => stage.link !== 'playing' && player.start());

// ---- the picture ----

if (document.fullscreenEnabled) $('full').hidden = false;
$('full').addEventListener('click', () => {
  if (document.fullscreenElement) document.exitFullscreen();
  else $('stage').requestFullscreen();
});

// ---- the microphone ----

const TALK = { off: 'Talk', starting: 'Connecting …', on: 'Stop talking' };

/** Who talks can always end it. */
function offerTalk() {
  $('talk').disabled = stage.link !== 'playing' && root.dataset.talk !== 'on';
}

publisher.addEventListener('state', ({ detail }) => {
  root.dataset.talk = detail.state;
  setText($('talk-text'), TALK[detail.state]);
  $('talk-icon').setAttribute('href', detail.state === 'on' ? '#icon-stop' : '#icon-talk');
  complain(detail.reason);
  offerTalk();
});
$('talk').addEventListener('click', () => publisher.toggle());

// ---- speech ----

$('file').addEventListener('change', () => {
  speech.give([...$('file').files]);
  $('file').value = '';
});

onText((text, how) => speech.say(text, how));

$('interrupt').addEventListener('click', async () => {
  try {
    await call(urls.interrupt, { method: 'POST' });
    complain(null);
  } catch (error) {
    complain(inWords(error));
  }
});

setInterval(() => {
  const quiet = session?.state === 'idle' && !session.queue_s;
  speech.tick(performance.now(), quiet ? asked : -Infinity);
}, TICK);

onDrop((files) => speech.give(files), () => mayControl);

token.takeFromAddress();
if (matchMedia('(pointer: coarse)').matches) $('drop-title').textContent = 'Give a recording, and it is spoken';
player.start();
watch();
