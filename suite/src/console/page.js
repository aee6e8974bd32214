// The forms and lists beside the messages: devices, reminders, the user; and the start of the page.
'use strict';

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
  const note = hidden > 0 ? `and ${hidden} more` : rows.length === 0 ? 'No reminder is scheduled.' : null;
  const hint = () => note ? [h('li', {}, h('span', { className: 'hint' }, note))] : [];
  render($('upcoming'), [rows, note], () => [...rows.map(upcomingRow), ...hint()]);
  updateCountdowns();
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

function formatDuration(seconds) {
  if (seconds < 60) return `${Math.max(0, seconds).toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${pad(Math.floor(seconds % 60))} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${pad(Math.floor((seconds % 3600) / 60))} min`;
  return `${Math.floor(seconds / 86400)} days`;
}

function updateCountdowns() {
  let isOver = false;
  for (const element of document.querySelectorAll('.countdown')) {
    const left = (new Date(element.dataset.at) - Date.now()) / 1000;
    element.textContent = formatDuration(left);
    isOver ||= left < 0;
  }
  return isOver;
}

// The user, the commands, the start of the page

function begin(session) {
  state.user ??= storedUser() ?? session.user;
  showUser();
  $('commands').replaceChildren(...session.commands.map(commandBlock));
  loadAll().catch(showError);
}

const loadAll = () => Promise.all([loadDevices(), loadUpcoming(), loadHistory(), loadSentEvents()]);

function storedUser() {
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
  if (updateCountdowns() && !document.hidden) loadUpcoming().then(loadHistory).catch(() => {});
}, 250);
setInterval(() => {
  if (!document.hidden && state.user) loadAll().catch(() => {});
}, POLL_MS);
follow();
