// The delivered messages: their cards, the delivery history, and the stream by which they arrive.
'use strict';

/** Data of the event notification:sent of a message: its device and due time. It arrives shortly after the message. */
const sentEventOf = (message) => state.sent.get(message.messageId);

function lateness(message) {
  const due = sentEventOf(message)?.dueAt;
  if (!due) return null;
  const ms = new Date(message.at) - new Date(due);
  const size = Math.abs(ms) < 10000 ? `${Math.abs(ms)} ms` : formatDuration(Math.abs(ms) / 1000);
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
  const device = state.devices.find((device) => device.id === sentEventOf(message)?.deviceId);
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
  // Same origin, so that the height can be measured; no scripts, so that nothing can run.
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
    frame.style.height = '0'; // otherwise the frame never becomes smaller
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
  loadSentEventsSoon();
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
  return h('tr', {}, h('td', { colSpan: 4, className: 'hint' }, 'No deliveries yet.'));
}

function historyRow(delivery) {
  const kind = { sent: '', pending: 'warn', deferred: 'warn', suppressed: 'warn', failed: 'bad' }[delivery.state] ?? 'warn';
  const outcome = [delivery.state, delivery.reason].filter(Boolean).join(' · ');
  const device = state.devices.find((device) => device.id === delivery.deviceId);
  const channel = device ? `${delivery.channel} · ${deviceName(device)}` : delivery.channel;
  return h('tr', {}, h('td', {}, clock(delivery.dueAt)), h('td', {}, channel),
    h('td', {}, h('span', { className: `badge ${kind}` }, outcome)), h('td', {}, String(delivery.attempts)));
}

/** Completes the messages whose event notification:sent had not arrived yet. */
async function loadSentEvents() {
  const missing = [...state.messages.values()].filter(({ message }) => !sentEventOf(message));
  if (missing.length === 0) return;
  const { events } = await call('GET', `/events?type=notification:sent&limit=${KEPT}`);
  for (const { data } of events) {
    if (data.providerMessageId) state.sent.set(data.providerMessageId, data);
  }
  for (const { message, show } of missing) {
    if (sentEventOf(message)) show();
  }
}

let sentEventsTimer = null;
function loadSentEventsSoon() {
  clearTimeout(sentEventsTimer);
  sentEventsTimer = setTimeout(() => Promise.all([loadSentEvents(), loadHistory()]).catch(() => {}), 200);
}

// The stream

function showLive(live) {
  $('live').dataset.state = live ? 'live' : 'connecting';
  $('live').textContent = live ? 'live' : 'reconnecting';
}

/** Follows the stream of messages. Begins again after a restart of the suite, since the sandbox is empty then. */
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
