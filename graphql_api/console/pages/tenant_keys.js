// The API keys of one tenant, as an operator sees them: made, shown once, and revoked.

import { announce, element, fill } from "/console/elements.js";
import { moment, words } from "/console/formats.js";
import { change } from "/console/graphql.js";
import { action, card, form, opener, pagedTable, tag } from "/console/parts.js";

/** What is shown of a page of keys. */
export const KEYS = `edges { node { id name role hint createdAt lastUsedAt expiresAt revokedAt } }
  pageInfo { hasNextPage endCursor }`;
const CREATE = `mutation CreateApiKey($input: CreateApiKeyInput!) {
  createApiKey(input: $input) { ... on ApiKeyCreated { token apiKey { name } } ... on Refusal { code message } }
}`;
const REVOKE = `mutation RevokeApiKey($input: RevokeApiKeyInput!) {
  revokeApiKey(input: $input) { __typename ... on Refusal { code message } }
}`;
const ROLES = [
  ["ADMIN", "Admin: decides for the tenant"],
  ["SERVICE", "Service: its workers, which reserve and consume"],
  ["MEMBER", "Member: looks"],
];

/** The card of a tenant's keys. `more`: asks for the page after a cursor. */
export function tenantKeys(slug, connection, more, { refresh }) {
  const making = opener("New key", "New key", () => newKeyForm(slug, {}, refresh));
  const columns = [
    { title: "Name", main: true, cell: ({ name, hint }) => [name, " ", hint && element("small", {}, hint)] },
    { title: "Role", cell: ({ role }) => words(role) },
    { title: "State", cell: state },
    { title: "Made", cell: ({ createdAt }) => moment(createdAt) },
    { title: "Last used", cell: ({ lastUsedAt }) => (lastUsedAt ? moment(lastUsedAt) : "Never") },
    { title: "Action", cell: (key) => !hasEnded(key) && revoking(slug, key, refresh) },
  ];
  return card(
    "API keys",
    { actions: [making], wide: true },
    pagedTable({
      caption: "API keys",
      stacked: true,
      columns,
      connection,
      more,
      empty: "There is none yet: nobody can sign in.",
    }),
  );
}

function hasEnded({ revokedAt, expiresAt }) {
  return revokedAt !== null || (expiresAt !== null && new Date(expiresAt) <= new Date());
}

function state(key) {
  if (key.revokedAt) return tag(`Revoked ${moment(key.revokedAt)}`);
  if (hasEnded(key)) return tag(`Ended ${moment(key.expiresAt)}`);
  return [tag("In force", "fine"), key.expiresAt && element("small", {}, ` until ${moment(key.expiresAt)}`)];
}

function revoking(slug, { id, name }, refresh) {
  const content = (close) => [
    element("p", {}, `Whoever uses ${name} is refused within seconds. A revoked key does not come back.`),
    action(
      `Revoke ${name}`,
      async (idempotencyKey) => {
        await change(REVOKE, { idempotencyKey, id, force: true }, { tenant: slug });
        close();
        announce(`${name} is revoked.`);
        await refresh();
      },
      { danger: true },
    ),
  ];
  return opener("Revoke", `Revoke ${name}?`, content, { class: "quiet danger" });
}

/** A form that makes a key of a tenant, and then shows it this once. `values`: what stands in it; `made`: is told. */
export function newKeyForm(slug, { name = null, role = "ADMIN" }, made = null) {
  const place = element("div");
  const fields = [
    {
      name: "name",
      label: "Who uses the key",
      value: name,
      required: true,
      maxlength: 100,
      help: "The ledger names it.",
    },
    { name: "role", label: "What it may do", value: role, options: ROLES },
  ];
  const making = form({
    fields,
    submit: "Make the key",
    send: (values, idempotencyKey) => change(CREATE, { idempotencyKey, ...values }, { tenant: slug }),
    done: async ({ token, apiKey }) => {
      fill(place, shownOnce(token, apiKey.name));
      await made?.();
    },
  });
  return fill(place, making);
}

function shownOnce(token, name) {
  if (token === null)
    return element("p", {}, `The key of ${name} was made already, and shown then. Revoke it and make another.`);
  const said = element("span", { role: "status" });
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(token);
      said.textContent = " Copied.";
    } catch {
      said.textContent = " This browser does not let it be copied: select it.";
    }
  };
  return [
    element("p", {}, `This is the key of ${name}. It is shown this once: keep it, for only its hash is stored.`),
    element("p", {}, element("code", { class: "secret" }, token)),
    element("p", {}, element("button", { type: "button", onclick: copy }, "Copy"), said),
  ];
}
