// Shared by the scripts of the console: state, elements, calls of the APIs through the console, errors.
'use strict';

const KEPT = 200; // largest number of messages shown
const ROWS = 20; // largest number of rows in the other lists
const POLL_MS = 2000;
const RETRY_MS = 1000;

const $ = (id) => document.getElementById(id);
const state = {
  user: null,
  devices: [],
  upcoming: [],
  lastSeq: 0,
  startedAt: null,
  messages: new Map(), // seq -> {message, card, show}
  sent: new Map(), // message id of the provider -> data of its event notification:sent
};

/** Creates an element. Text children are never parsed as HTML. */
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

/** Formats a time, with the day unless it is today. */
function dayAndTime(text) {
  const at = new Date(text);
  return at.toDateString() === new Date().toDateString() ? clock(text, false) : at.toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' });
}

// Calls

class Refused extends Error {}

/** Calls an API through the console. Returns the body, or throws an error with the API's message and request id. */
async function call(method, path, body) {
  const headers = { 'X-Console-User': state.user.id, 'X-Console-Email': state.user.email };
  if (body !== undefined) {
    headers['Content-Type'] = 'application/json';
    headers['Idempotency-Key'] = crypto.randomUUID();
  }
  const request = { method, headers, body: body === undefined ? undefined : JSON.stringify(body) };
  const response = await fetch(`/api${path}`, request).catch(() => {
    throw new Refused('The console does not answer. Check that the suite is running.');
  });
  const text = await response.text();
  let answer = null;
  try {
    answer = text ? JSON.parse(text) : null;
  } catch {
    answer = null;
  }
  if (response.ok) return answer;
  const fault = answer?.error;
  const error = new Refused(fault?.message ?? text.trim() ?? response.statusText);
  const id = fault?.requestId ?? response.headers.get('x-request-id');
  error.detail = [response.status, fault?.reason, id && `request ${id}`].filter(Boolean).join(' · ');
  throw error;
}

function showError(error) {
  if (!(error instanceof Refused)) console.error(error);
  $('error-message').textContent = error.message;
  $('error-detail').textContent = error.detail ?? '';
  $('error').hidden = false;
}

/** Runs the action of a form or a button. Disables the button meanwhile, and shows errors. */
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

/** Renders a list only if it changed, since a focused or clicked element must not be replaced. */
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
