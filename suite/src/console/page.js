// The console page: forms that call the services, and the list of what arrived, live.
'use strict';

const KEPT = 200; // messages shown at most
const ROWS = 20; // shown of the other lists
const POLL_MS = 2000;
const RETRY_MS = 1000;

const $ = (id) => document.getElementById(id);
const state = {
  session: null,
  user: null,
  devices: [],
  upcoming: [],
  lastSeq: 0,
  startedAt: null,
  messages: new Map(), // seq -> {message, card, show}
  sent: new Map(), // provider's message id -> what the event notification:sent says of it
};

/** An element; children that are text are never read as HTML. */
function h(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function glyph(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `#${name}`);
  svg.setAttribute('aria-hidden', 'true');
  svg.append(use);
  return svg;
}

const pad = (number, digits = 2) => String(number).padStart(digits, '0');

function clock(text, withMillis = true) {
  const at = new Date(text);
  const time = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
  return withMillis ? `${time}.${pad(at.getMilliseconds(), 3)}` : time;
}

/** The time, and the day unless it is today. */
function dayAndTime(text) {
  const at = new Date(text);
  return at.toDateString() === new Date().toDateString() ? clock(text, false) : at.toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' });
}

// Calls

class Refused extends Error {}

/** Calls an API through the console; the answer's body, or an error with the API's message and request id. */
async function call(method, path, body) {
  const headers = { 'X-Console-User': state.user.id, 'X-Console-Email': state.user.email };
  if (body !== undefined) {
    headers['Content-Type'] = 'application/json';
    headers['Idempotency-Key'] = crypto.randomUUID();
  }
  const request = { method, headers, body: body === undefined ? undefined : JSON.stringify(body) };
  const response = await fetch(`/api${path}`, request).catch(() => {
    throw new Refused('The console does not answer: does the suite still run?');
  });
  const text = await response.text();
  let answer = null;
  try {
    answer = text ? JSON.parse(text) : null;
  } catch {
    answer = null;
  }
  if (response.ok) return answer;
  const told = answer?.error;
  const error = new Refused(told?.message ?? text.trim() ?? response.statusText);
  const id = told?.requestId ?? response.headers.get('x-request-id');
  error.detail = [response.status, told?.reason, id && `request ${id}`].filter(Boolean).join(' · ');
  throw error;
}

function showError(error) {
  if (!(error instanceof Refused)) console.error(error);
  $('error-message').textContent = error.message;
  $('error-detail').textContent = error.detail ?? '';
  $('error').hidden = false;
}

/** Runs what a form or a button asks for: no second time meanwhile, errors where they are seen. */
async function act(button, work) {
  button.disabled = true;
  try {
    await work();
    $('error').hidden = true;
  } catch (error) {
    showError(error);
  } finally {
    button.disabled = false;
  }
}

function onSubmit(form, work) {
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    act(form.querySelector('[type=submit]'), () => work(new FormData(form)));
  });
}

/** Shows a list anew only when it changed: what is focused or being clicked must not be replaced under the pointer. */
const shown = new WeakMap();
function render(element, data, rows) {
  const key = JSON.stringify(data);
  if (shown.get(element) === key) return false;
  shown.set(element, key);
  element.replaceChildren(...rows());
  return true;
}

function showHeads() {
  for (const { show } of state.messages.values()) show();
}

// Devices

const typeName = { android: 'Android', ios: 'iOS', web: 'Web' };

async function loadDevices() {
  state.devices = (await call('GET', '/device')).devices;
  if (!render($('devices'), state.devices, () => state.devices.map(deviceRow))) return;
  $('devices-title').firstElementChild.classList.toggle('done', state.devices.length > 0);
  checkChannels();
  showHeads();
}

function deviceRow(device) {
  const remove = h('button', { type: 'button', className: 'icon', title: 'Remove' }, glyph('close'));
  remove.setAttribute('aria-label', `remove ${deviceName(device)}`);
  remove.addEventListener('click', () =>
    act(remove, async () => {
      await call('DELETE', `/device/remove/${encodeURIComponent(device.id)}`);
      await loadDevices();
    }));
  const about = `${typeName[device.type] ?? device.type}, since ${dayAndTime(device.createdAt)}`;
  return h('li', {}, glyph(device.type), h('div', { className: 'what' }, h('b', {}, deviceName(device)), h('small', {}, about)), remove);
}

const deviceName = (device) => device.name || `${typeName[device.type] ?? device.type} device`;

onSubmit($('device-form'), async (fields) => {
  const token = `${fields.get('behaviour')}sandbox-${crypto.randomUUID()}`;
  await call('POST', '/device/register', { fcmToken: token, type: fields.get('type'), name: fields.get('name') });
  $('device-form').reset();
  await loadDevices();
});

// Reminders

onSubmit($('reminder-form'), async (fields) => {
  const reminder = {
    date: new Date(Date.now() + 1000 * Number(fields.get('seconds'))).toISOString(),
    timeZone: Intl.DateTimeFormat().resolvedOptions().timeZone,
    channels: fields.getAll('channels'),
    message: fields.get('message'),
  };
  for (const name of ['title', 'url']) {
    if (fields.get(name).trim()) reminder[name] = fields.get(name).trim();
  }
  await call('POST', '/reminders', reminder);
  await loadUpcoming();
});

function checkChannels() {
  const push = $('reminder-form').querySelector('[value=push]').checked;
  $('no-device').hidden = !push || state.devices.length > 0;
}
$('reminder-form').addEventListener('change', checkChannels);

async function loadUpcoming() {
  const { reminders } = await call('GET', '/reminders?status=scheduled&limit=100');
  state.upcoming = reminders.items.filter((reminder) => reminder.nextAt).sort((a, b) => a.nextAt.localeCompare(b.nextAt));
  const rows = state.upcoming.slice(0, ROWS);
  const hidden = reminders.total - rows.length;
  const note = hidden > 0 ? `and ${hidden} more` : rows.length === 0 ? 'Nothing is due.' : null;
  const hint = () => note ? [h('li', {}, h('span', { className: 'hint' }, note))] : [];
  render($('upcoming'), [rows, note], () => [...rows.map(upcomingRow), ...hint()]);
  countDown();
}

function upcomingRow(reminder) {
  const name = reminder.title || reminder.message;
  const left = h('span', { className: 'countdown' });
  left.dataset.at = reminder.nextAt;
  const cancel = h('button', { type: 'button', className: 'icon', title: 'Cancel' }, glyph('close'));
  cancel.setAttribute('aria-label', `cancel ${name}`);
  cancel.addEventListener('click', () =>
    act(cancel, async () => {
      await call('DELETE', `/reminders/${encodeURIComponent(reminder.id)}`);
      await loadUpcoming();
    }));
  const about = `${dayAndTime(reminder.nextAt)} · ${reminder.channels.join(', ')}`;
  return h('li', {}, h('div', { className: 'what' }, h('b', {}, name), h('small', {}, about)), left, cancel);
}

function inWords(seconds) {
  if (seconds < 60) return `${Math.max(0, seconds).toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${pad(Math.floor(seconds % 60))} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${pad(Math.floor((seconds % 3600) / 60))} min`;
  return `${Math.floor(seconds / 86400)} days`;
}

function countDown() {
  let over = false;
  for (const element of document.querySelectorAll('.countdown')) {
    const left = (new Date(element.dataset.at) - Date.now()) / 1000;
    element.textContent = inWords(left);
    over ||= left < 0;
  }
  return over;
}

// What arrived

/** What the suite's own record says of a message: which device, due when. It is there a moment after the message. */
const recordOf = (message) => state.sent.get(message.messageId);

function lateness(message) {
  const due = recordOf(message)?.dueAt;
  if (!due) return null;
  const ms = new Date(message.at) - new Date(due);
  const size = Math.abs(ms) < 10000 ? `${Math.abs(ms)} ms` : inWords(Math.abs(ms) / 1000);
  const kind = ms < 0 ? 'bad' : ms <= 250 ? '' : ms <= 1000 ? 'warn' : 'bad';
  return h('span', { className: `badge ${kind}`, title: `due ${clock(due)}` }, ms < 0 ? `${size} early` : `+${size}`);
}

function head(message, name, label) {
  const time = h('time', { dateTime: message.at, title: new Date(message.at).toLocaleString() }, clock(message.at));
  return h('header', {}, h('span', { className: 'glyph' }, glyph(name)), ...label, lateness(message), time);
}

function webLink(text) {
  const url = URL.canParse(text) ? new URL(text) : null;
  const safe = url && (url.protocol === 'https:' || url.protocol === 'http:');
  return safe ? h('a', { className: 'link', href: url.href, target: '_blank', rel: 'noopener noreferrer' }, text) : h('span', { className: 'link' }, text);
}

function pushHead(message) {
  const device = state.devices.find((device) => device.id === recordOf(message)?.deviceId);
  const type = device?.type ?? (message.webpush ? 'web' : message.apns ? 'ios' : 'android');
  const name = device ? deviceName(device) : `device ${message.token.slice(0, 18)}…`;
  return head(message, type, [h('b', {}, name), h('span', {}, `push · ${typeName[type]}`)]);
}

function pushBody(message) {
  const body = h('div', { className: 'body' });
  if (message.title) body.append(h('h3', {}, message.title));
  if (message.body) body.append(h('div', {}, message.body));
  if (message.link) body.append(webLink(message.link));
  return [body];
}

const mailHead = (message) => head(message, 'mail', [h('b', {}, message.to.join(', ')), h('span', {}, 'e-mail')]);

function mailBody(message) {
  const letter = h('div', { className: 'letter' }, h('h3', {}, message.subject || '(no subject)'), h('p', {}, `from ${message.from}`));
  if (!message.html) return [letter, h('pre', {}, message.text ?? '')];
  const frame = h('iframe', { title: `body of “${message.subject}”` });
  // Same origin without scripts: nothing in it can run, and its height can be measured.
  frame.setAttribute('sandbox', 'allow-same-origin allow-popups allow-popups-to-escape-sandbox');
  frame.addEventListener('load', () => fit(frame));
  frame.srcdoc = message.html;
  return [letter, frame];
}

function fit(frame) {
  const inside = frame.contentDocument;
  for (const link of inside.links) {
    link.target = '_blank';
    link.rel = 'noopener noreferrer';
  }
  const measure = () => {
    frame.style.height = '0'; // else a frame that was too high once stays so
    frame.style.height = `${Math.min(900, inside.documentElement.scrollHeight)}px`;
  };
  measure();
  new ResizeObserver(measure).observe(inside.documentElement);
}

function add(message) {
  if (state.messages.has(message.seq)) return;
  state.lastSeq = Math.max(state.lastSeq, message.seq);
  const [makeHead, makeBody] = message.kind === 'push' ? [pushHead, pushBody] : [mailHead, mailBody];
  const card = h('article', { className: 'message new' }, makeHead(message), ...makeBody(message));
  const show = () => card.firstElementChild.replaceWith(makeHead(message));
  state.messages.set(message.seq, { message, card, show });
  $('messages').prepend(card);
  while (state.messages.size > KEPT) {
    const [oldest, { message, card }] = state.messages.entries().next().value;
    card.remove();
    state.sent.delete(message.messageId);
    state.messages.delete(oldest);
  }
  showCount();
  loadRecordsSoon();
}

function showCount() {
  const count = state.messages.size;
  $('count').textContent = count;
  $('empty').hidden = count > 0;
  $('clear').hidden = count === 0;
}

function clearMessages() {
  state.messages.clear();
  state.sent.clear();
  $('messages').replaceChildren();
  showCount();
}
$('clear').addEventListener('click', clearMessages);

// Delivery history

async function loadHistory() {
  const { notifications } = await call('GET', `/notifications?limit=${ROWS}`);
  const rows = () => notifications.length > 0 ? notifications.map(historyRow) : [noHistory()];
  render($('history'), [notifications, state.devices], rows);
}

function noHistory() {
  return h('tr', {}, h('td', { colSpan: 4, className: 'hint' }, 'Nothing was delivered yet.'));
}

function historyRow(delivery) {
  const kind = { sent: '', pending: 'warn', deferred: 'warn', suppressed: 'warn', failed: 'bad' }[delivery.state] ?? 'warn';
  const told = [delivery.state, delivery.reason].filter(Boolean).join(' · ');
  const device = state.devices.find((device) => device.id === delivery.deviceId);
  const channel = device ? `${delivery.channel} · ${deviceName(device)}` : delivery.channel;
  return h('tr', {}, h('td', {}, clock(delivery.dueAt)), h('td', {}, channel),
    h('td', {}, h('span', { className: `badge ${kind}` }, told)), h('td', {}, String(delivery.attempts)));
}

/** Completes the messages that came without a record: event-service tells of each delivery once it was made. */
async function loadRecords() {
  const missing = [...state.messages.values()].filter(({ message }) => !recordOf(message));
  if (missing.length === 0) return;
  const { events } = await call('GET', `/events?type=notification:sent&limit=${KEPT}`);
  for (const { data } of events) {
    if (data.providerMessageId) state.sent.set(data.providerMessageId, data);
  }
  for (const { message, show } of missing) {
    if (recordOf(message)) show();
  }
}

let recordsTimer = null;
function loadRecordsSoon() {
  clearTimeout(recordsTimer);
  recordsTimer = setTimeout(() => Promise.all([loadRecords(), loadHistory()]).catch(() => {}), 200);
}

// The stream

function showLive(live) {
  $('live').dataset.state = live ? 'live' : 'connecting';
  $('live').textContent = live ? 'live' : 'reconnecting';
}

/** Follows the messages; begins anew when the suite was started anew, since the sandbox forgets then. */
async function follow() {
  try {
    const session = await (await fetch('/api/session')).json();
    const { lastSeq } = await (await fetch('/api/messages?limit=0')).json();
    if (state.startedAt !== session.startedAt) {
      state.startedAt = session.startedAt;
      state.lastSeq = 0;
      clearMessages();
      begin(session);
    }
    const after = Math.max(state.lastSeq, lastSeq - KEPT);
    const stream = new EventSource(`/api/stream?after=${after}`);
    stream.addEventListener('open', () => showLive(true));
    for (const kind of ['push', 'email']) {
      stream.addEventListener(kind, (event) => add(JSON.parse(event.data)));
    }
    stream.addEventListener('error', () => {
      stream.close();
      followAgain();
    });
  } catch {
    followAgain();
  }
}

function followAgain() {
  showLive(false);
  setTimeout(follow, RETRY_MS);
}

// The user, the commands, the start

function begin(session) {
  state.session = session;
  state.user ??= chosenUser() ?? session.user;
  showUser();
  $('commands').replaceChildren(...session.commands.map(commandBlock));
  loadAll().catch(showError);
}

const loadAll = () => Promise.all([loadDevices(), loadUpcoming(), loadHistory(), loadRecords()]);

function chosenUser() {
  try {
    return JSON.parse(localStorage.getItem('user'));
  } catch {
    return null;
  }
}

function showUser() {
  $('user-name').textContent = state.user.id;
  $('user-form').elements.id.value = state.user.id;
  $('user-form').elements.email.value = state.user.email;
}

onSubmit($('user-form'), async (fields) => {
  state.user = { id: fields.get('id'), email: fields.get('email') };
  localStorage.setItem('user', JSON.stringify(state.user));
  showUser();
  $('user').open = false;
  await loadAll();
});

function commandBlock({ about, command }) {
  const copy = h('button', { type: 'button', className: 'icon', title: 'Copy' }, glyph('copy'));
  copy.setAttribute('aria-label', `copy: ${about}`);
  copy.addEventListener('click', () => act(copy, () => navigator.clipboard.writeText(command)));
  return h('div', { className: 'command' }, h('p', {}, about), h('pre', {}, command), copy);
}

for (const toggle of document.querySelectorAll('[aria-expanded]')) {
  toggle.addEventListener('click', () => {
    const panel = $(toggle.getAttribute('aria-controls'));
    panel.hidden = !panel.hidden;
    toggle.setAttribute('aria-expanded', String(!panel.hidden));
  });
}
$('error-close').addEventListener('click', () => { $('error').hidden = true; });
setInterval(() => {
  if (countDown() && !document.hidden) loadUpcoming().then(loadHistory).catch(() => {});
}, 250);
setInterval(() => {
  if (!document.hidden && state.user) loadAll().catch(() => {});
}, POLL_MS);
follow();
