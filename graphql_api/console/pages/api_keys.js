// API keys: with which workers and people of the tenant come to the API. A new one is shown once.

import { announce, element } from "/console/elements.js";
import { moment, words } from "/console/formats.js";
import { ask, change } from "/console/graphql.js";
import { action, card, form, opener, pagedTable, shownOnce, tag } from "/console/parts.js";

/** What is shown of a page of keys. */
export const KEYS = `edges { node { id name role hint createdAt createdBy expiresAt lastUsedAt revokedAt replacedBy } } pageInfo { hasNextPage endCursor }`;
export const API_KEYS = `apiKeys(first: 20) @include(if: $admin) { ${KEYS} }`;
const MORE = `query ApiKeys($after: String) { apiKeys(first: 20, after: $after) { ${KEYS} } }`;
const CREATE = `mutation CreateApiKey($input: CreateApiKeyInput!) {
  createApiKey(input: $input) { ... on ApiKeyCreated { token } ... on Refusal { code message } }
}`;
const ROTATE = `mutation RotateApiKey($input: RotateApiKeyInput!) {
  rotateApiKey(input: $input) { ... on ApiKeyRotated { token } ... on Refusal { code message } }
}`;
const REVOKE = `mutation RevokeApiKey($input: RevokeApiKeyInput!) {
  revokeApiKey(input: $input) { __typename ... on Refusal { code message } }
}`;
const ROLES = [
  ["SERVICE", "Service: reserves, consumes, records"],
  ["MEMBER", "Member: reads"],
  ["ADMIN", "Administrator: everything"],
];
const OVERLAPS = [
  ["0", "At once"],
  ["3600", "In an hour"],
  ["86400", "In a day"],
  ["604800", "In seven days"],
];

/** The card of the API keys, for who may change them. `whose`: the tenant, for operators whose address does not name it. */
export function apiKeys({ apiKeys: connection }, { refresh }, whose = {}) {
  const create = opener("Create a key", "Create an API key", (close) => creatingKey(close, refresh, whose), {});
  const more = async (after) => (await ask(MORE, { after }, whose)).apiKeys;
  return card(
    "API keys",
    { actions: [create] },
    pagedTable({ caption: "API keys", columns: columns(refresh, whose), connection, more }),
  );
}

/** A form that makes a key and shows it once. */
export function creatingKey(close, refresh, whose = {}) {
  return form({
    fields: [
      { name: "name", label: "Name", required: true, maxlength: 200, help: "The ledger and the audit log name it so." },
      { name: "role", label: "Role", options: ROLES },
      { name: "lastDay", label: "Works until the end of (UTC)", type: "date", help: "Empty: until it is revoked." },
    ],
    submit: "Create",
    send: ({ name, role, lastDay }, idempotencyKey) =>
      change(CREATE, { idempotencyKey, name, role, expiresAt: lastDay && `${lastDay}T23:59:59Z` }, whose),
    done: (result) => issued(result, close, refresh),
  });
}

function rotating(id, close, refresh, whose) {
  return form({
    fields: [{ name: "overlap", label: "The old key ends", options: OVERLAPS, value: "3600" }],
    submit: "Replace",
    send: ({ overlap }, idempotencyKey) =>
      change(ROTATE, { idempotencyKey, id, overlapSeconds: Number(overlap) }, whose),
    done: (result) => issued(result, close, refresh),
  });
}

async function issued({ token }, close, refresh) {
  close();
  await refresh();
  shownOnce("The new key", token ?? "It was shown before. Whoever lost it replaces or revokes it.");
}

const columns = (refresh, whose) => [
  { title: "Name", main: true, cell: ({ name }) => name },
  { title: "Role", cell: ({ role }) => words(role) },
  { title: "Key", cell: ({ hint }) => element("code", {}, hint ?? "") },
  { title: "Created", cell: ({ createdAt, createdBy }) => [moment(createdAt), createdBy && ` by ${createdBy}`] },
  { title: "Last used", cell: ({ lastUsedAt }) => (lastUsedAt ? moment(lastUsedAt) : "never") },
  {
    title: "Ends",
    cell: ({ expiresAt, revokedAt }) =>
      revokedAt ? tag("has ended", "full") : expiresAt ? moment(expiresAt) : "when it is revoked",
  },
  {
    title: "Change",
    cell: ({ id, name, revokedAt, replacedBy }) =>
      !revokedAt && [
        !replacedBy && opener("Replace", `Replace ${name}`, (close) => rotating(id, close, refresh, whose)),
        " ",
        action("Revoke", (idempotencyKey) => revoke(id, idempotencyKey, refresh, whose), {
          sure: "Whoever uses it is shut out at once.",
        }),
      ],
  },
];

async function revoke(id, idempotencyKey, refresh, whose) {
  await change(REVOKE, { idempotencyKey, id }, whose);
  announce("The key is revoked.");
  await refresh();
}
