// Validates objects of custom kinds (a JSON array on stdin) against the schemas of @kubernetes-models, strictly: a field that
// no schema looks at is unknown. Prints a JSON array of problems, and which kinds there are no schemas for.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const modules = path.resolve(process.argv[2]);
const PACKAGES = {
  "keda.sh": "keda",
  "monitoring.coreos.com": "prometheus-operator",
  "argoproj.io": "argo-rollouts",
  "traefik.io": "traefik",
  "external-secrets.io": "external-secrets",
};

// Validators ask for the fields they know. What they never asked for, they do not know.
function watched(value, at, unread) {
  if (value === null || typeof value !== "object") return value;
  const children = new Map();
  for (const key of Object.keys(value)) {
    const where = Array.isArray(value) ? `${at}[${key}]` : `${at}.${key}`;
    unread.add(where);
    children.set(key, { where, value: watched(value[key], where, unread) });
  }
  return new Proxy(Array.isArray(value) ? [] : {}, {
    get(_, key) {
      if (key === "length" && Array.isArray(value)) return value.length;
      const child = children.get(key);
      if (!child) return value[key];
      unread.delete(child.where);
      return child.value;
    },
    has: (_, key) => key in value,
    ownKeys: () => Reflect.ownKeys(value),
    getOwnPropertyDescriptor: (_, key) => {
      const found = Reflect.getOwnPropertyDescriptor(value, key);
      return found && { ...found, value: undefined, configurable: key !== "length", writable: true };
    },
  });
}

// Only the outermost of what was not read: its children were never come to.
const outermost = (unread) => [...unread].filter((one) => ![...unread].some((other) => one !== other && (one.startsWith(`${other}.`) || one.startsWith(`${other}[`))));

const problems = [];
const unknown = new Set();
for (const item of JSON.parse(fs.readFileSync(0, "utf8"))) {
  const name = `${item.kind}/${item.metadata.name}`;
  const [group, version] = item.apiVersion.split("/");
  const file = PACKAGES[group] && path.join(modules, "@kubernetes-models", PACKAGES[group], group, version, `${item.kind}.js`);
  if (!file || !fs.existsSync(file)) {
    unknown.add(`${item.apiVersion} ${item.kind}`);
    continue;
  }
  const Model = (await import(pathToFileURL(file)))[item.kind];
  const unread = new Set();
  const { metadata, ...rest } = item;
  try {
    // Set after construction, which would copy it and thereby read everything.
    const model = new Model({ metadata });
    const spied = watched(rest, "", unread);
    for (const key of Object.keys(rest)) model[key] = spied[key];
    model.validate();
    for (const field of outermost(unread)) problems.push(`${name}: ${field.slice(1)} is unknown`);
  } catch (error) {
    problems.push(`${name}: ${error.message}`);
  }
}
console.log(JSON.stringify({ problems, unknown: [...unknown] }));
