// The console: the desk of the whole server.

import { token } from '../api.js';
import { onToken } from '../ask.js';
import { onDrop } from '../drop.js';
import { Figures } from '../figures.js';
import { Player } from '../player.js';
import { Stage } from '../stage.js';
import { Actions } from './actions.js';
import { Desk, LIVE } from './desk.js';
import { $, complain, setText, trouble } from './dom.js';
import { Health } from './health.js';
import { Imports } from './imports.js';
import { Library } from './library.js';
import { showLog } from './log.js';
import { Microphone } from './microphone.js';
import { Recordings } from './recordings.js';
import { Sessions } from './sessions.js';
import { Settings } from './settings.js';
import { Talk } from './talk.js';

const video = $('video');
const player = new Player(video);
const stage = new Stage(video, player);
const figures = new Figures($('figures'));

const desk = new Desk();
const library = new Library(desk);
const imports = new Imports(desk, library);
new Sessions(desk, library, video);
new Settings(desk, library);
const talk = new Talk(desk);
new Microphone(desk);
new Actions(desk);
new Recordings(desk);
new Health(desk);
showLog(desk);

// ---- the live picture of the chosen session ----

desk.addEventListener('chosen', () => {
  player.start(desk.urls.whep);
  stage.clear();
  setText($('chosen'), desk.id);
  document.title = `${desk.id} · Console · Mouthpiece`;
});

desk.addEventListener('look', async () => {
  const { status, chosen } = desk;
  stage.show(chosen?.now ?? null);
  // The place of the picture has its shape before it comes, so that nothing jumps.
  if (chosen && !video.videoWidth) $('stage').style.setProperty('--shape', chosen.size.width / chosen.size.height);
  // It ended: what is always there is shown.
  if (status && !chosen && desk.id !== LIVE) {
    complain(`The session ${desk.id} is not there any more.`);
    desk.choose(LIVE);
  }
  if (!status) player.doubt();
  figures.show(chosen?.now ?? null, status?.process, await player.stats());
});

player.addEventListener('state', ({ detail }) => detail.status === 401 && trouble(detail));
addEventListener('pagehide', () => player.stop());
addEventListener('pageshow', ({ persisted }) => persisted && player.start());
addEventListener('online', () => stage.link !== 'playing' && player.start());

// ---- the token ----

desk.addEventListener('refused', ({ detail }) => trouble(detail));
onToken(async () => {
  player.start();
  desk.events.again();
  await desk.refresh();
});

// ---- files that are dropped: sound is spoken, a picture becomes an avatar, a network a model ----

onDrop((files) => {
  const kind = (file) => (file.name.endsWith('.onnx') ? 'model' : /^(video|image)\//.test(file.type) ? 'avatar' : 'speech');
  const imported = files.find((file) => kind(file) !== 'speech');
  if (imported) imports.open(kind(imported), imported);
  talk.give(files.filter((file) => kind(file) === 'speech'));
});

token.takeFromAddress();
desk.choose(new URLSearchParams(location.search).get('session') || LIVE);
desk.watch();
