// The server's addresses, its token, and its errors in words.

/** The session that this page shows: `/?session=ID`, or the one of the configuration. */
const SESSION = new URLSearchParams(location.search).get('session') || 'live';

const at = (path) => new URL(path, document.baseURI);

/** A session's addresses, relative to the page, so that a proxy may put it under a path of its own. */
export function addresses(session) {
  const id = encodeURIComponent(session);
  const own = (verb) => at(`v1/sessions/${id}/${verb}`);
  return {
    session: at(`v1/sessions/${id}`),
    whep: at(`whep/${id}`),
    whip: at(`whip/${id}`),
    speech: own('speech'),
    interrupt: own('interrupt'),
    events: own('events'),
    action: own('action'),
    chat: own('chat'),
    recording: own('recording'),
    snapshot: own('snapshot'),
  };
}

/** Where the server tells of itself, and where this page's session is. */
export const urls = {
  ...addresses(SESSION),
  status: at('v1/status'),
  memory: at('v1/memory'),
  reclaim: at('v1/memory/reclaim'),
  sessions: at('v1/sessions'),
  recordings: at('v1/recordings'),
  avatars: at('v1/avatars'),
  models: at('v1/models'),
  jobs: at('v1/jobs'),
  health: at('healthz'),
};

/** One of a list: `urls.avatars` and `ava` make `/v1/avatars/ava`. */
export const one = (list, id) => new URL(`${list}/${encodeURIComponent(id)}`);

/** What `/v1/status` says of this page's session; nothing when there is none. */
export const own = (status) => status?.sessions?.find(({ id }) => id === SESSION) ?? null;

const KEY = 'mouthpiece.token';

/** The token from `#token=…`, which then leaves the address bar, or the one kept in this tab. */
export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value.trim()),
  takeFromAddress() {
    const given = new URLSearchParams(location.hash.slice(1)).get('token');
    if (!given) return;
    token.set(given);
    history.replaceState(null, '', location.pathname + location.search);
  },
};

/** The headers that every request to a guarded address carries. */
export const credentials = () => (token.get() ? { Authorization: `Bearer ${token.get()}` } : {});

/** What the server refused, in a sentence for the person who watches. */
export class Refusal extends Error {
  /**
   * @param {string} message a sentence
   * @param {number} status the HTTP status
   * @param {number} retryAfter seconds after which to try again, 0 if the server didn't say
   */
  constructor(message, status, retryAfter) {
    super(message);
    this.name = 'Refusal';
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

const WORDS = {
  401: 'This stream is private: it wants an access token.',
  404: 'There is no session of this name on the server.',
  406: 'This browser and the server have no video format in common.',
  409: 'Nothing is being shown yet.',
  413: 'This file is larger than the server accepts.',
  415: 'This is not a sound file that can be read. WAV, FLAC, MP3, OGG and M4A can.',
  422: 'This file holds no sound that could be read.',
  429: 'There is enough to say already.',
  503: 'Every place is taken just now.',
};

/** Statuses that pass by themselves, so that trying again makes sense. */
export const PASSING = new Set([409, 429, 503]);

const sentence = (text) => (/[.!?…]$/.test(text) ? text : `${text}.`);

/** Makes a Refusal of an answer's status, headers and problem+json body. */
export function refusal(status, header, body) {
  let problem = {};
  try {
    problem = JSON.parse(body);
  } catch {
    // Not problem+json: a proxy's page, say. Its status has to do.
  }
  const said = problem.detail || problem.title || WORDS[status] || `The server answered ${status}.`;
  const text = sentence(said[0].toUpperCase() + said.slice(1));
  const retryAfter = Math.max(0, Number(header('Retry-After')) || 0);
  return new Refusal(text, status, retryAfter);
}

/** fetch, with the token, and with a Refusal for every answer that isn't 2xx. */
export async function call(url, options = {}) {
  const headers = { ...credentials(), ...options.headers };
  const answer = await fetch(url, { cache: 'no-store', ...options, headers });
  if (answer.ok) return answer;
  throw refusal(answer.status, (name) => answer.headers.get(name), await answer.text());
}

/** What a person is told of an error: the server's own sentence, or that there was no answer. */
export const inWords = (error) =>
  error.name === 'Refusal' ? error.message : 'The server does not answer. Please try again when it is back.';

/** `call` with a JSON body, or none; gives the JSON that comes back, or null. */
export async function ask(method, url, fields = null) {
  const json = fields && { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(fields) };
  const answer = await call(url, { method, ...json });
  return answer.headers.get('Content-Type')?.startsWith('application/json') ? answer.json() : null;
}

/**
 * Sends a body, with the token; gives the JSON that comes back, and refuses as `call` does.
 * By XMLHttpRequest, since only it tells `onProgress` what part has gone.
 */
export function send(url, body, headers, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('POST', url);
    for (const [name, value] of Object.entries({ ...credentials(), ...headers })) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onerror = () => reject(new Error('It did not get through: the server is away.'));
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) resolve(JSON.parse(request.responseText));
      else reject(refusal(request.status, (name) => request.getResponseHeader(name), request.responseText));
    };
    request.send(body);
  });
}
