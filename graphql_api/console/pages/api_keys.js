// API keys: with which workers and people of the tenant come to the API. A new one is shown once.

import { announce, element } from "/console/elements.js";
import { count, moment, words } from "/console/formats.js";
import { form, REFUSED } from "/console/forms.js";
import { ask, change } from "/console/graphql.js";
import { action, card, dialog, opener, pagedTable, shownOnce, tag } from "/console/parts.js";

/** What is shown of a page of keys. */
export const KEYS = `edges { node { id name role hint createdAt createdBy expiresAt lastUsedAt revokedAt replacedBy requestsPerMinute } } pageInfo { hasNextPage endCursor }`;
export const API_KEYS = `apiKeys(first: 20) @include(if: $admin) { ${KEYS} }`;
const MORE = `query ApiKeys($after: String) { apiKeys(first: 20, after: $after) { ${KEYS} } }`;
const CREATE = `mutation CreateApiKey($input: CreateApiKeyInput!) {
  createApiKey(input: $input) { ... on ApiKeyCreated { token } ${REFUSED} }
}`;
const ROTATE = `mutation RotateApiKey($input: RotateApiKeyInput!) {
  rotateApiKey(input: $input) { ... on ApiKeyRotated { token } ${REFUSED} }
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
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return form({
    fields: [
      {
        name: "name",
        label: "Name",
        required: true,
        maxlength: 100,
        help: "The ledger and the audit log name it so.",
      },
      { name: "role", label: "Role", options: ROLES, help: "Keys of members and administrators take a seat each." },
      {
        name: "expiresAt",
        label: "Ends",
        type: "datetime-local",
        help: `By your clock (${zone}). Empty: it works until it is revoked.`,
      },
      {
        name: "requestsPerMinute",
        label: "Requests a minute, at most",
        type: "number",
        min: 1,
        max: 10_000_000,
        help: "Empty: the usual limit of this installation.",
      },
    ],
    submit: "Create",
    send: ({ expiresAt, requestsPerMinute, ...values }, idempotencyKey) =>
      change(
        CREATE,
        {
          idempotencyKey,
          ...values,
          expiresAt: expiresAt && new Date(expiresAt).toISOString(),
          requestsPerMinute: requestsPerMinute && Number(requestsPerMinute),
        },
        whose,
      ),
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

/** Sent again because the answer was lost, a request makes no second key, and nobody can show the first one. */
function issued({ token }, close, refresh) {
  close();
  if (token) shownOnce("The new key", token);
  else dialog("The key is there", element("p", {}, "It was shown before. Whoever lost it replaces or revokes it."));
  return refresh();
}

function hasEnded({ revokedAt, expiresAt }) {
  return revokedAt !== null || (expiresAt !== null && new Date(expiresAt) <= new Date());
}

const columns = (refresh, whose) => [
  {
    title: "Name",
    main: true,
    cell: ({ name, hint }) => [name, hint && element("div", {}, element("code", {}, hint))],
  },
  {
    title: "Role",
    cell: ({ role, requestsPerMinute }) => [
      words(role),
      requestsPerMinute && element("div", { class: "faint" }, `${count(requestsPerMinute)} requests a minute`),
    ],
  },
  { title: "Created", cell: ({ createdAt, createdBy }) => [moment(createdAt), createdBy && ` by ${createdBy}`] },
  { title: "Last used", cell: ({ lastUsedAt }) => (lastUsedAt ? moment(lastUsedAt) : "never") },
  {
    title: "Ends",
    cell: (key) => {
      if (hasEnded(key)) return tag(`has ended, ${moment(key.revokedAt ?? key.expiresAt)}`);
      return [
        key.expiresAt ? moment(key.expiresAt) : "when it is revoked",
        key.replacedBy && element("div", { class: "faint" }, "replaced"),
      ];
    },
  },
  { title: "Change", cell: (key) => !hasEnded(key) && changing(key, refresh, whose) },
];

function changing({ id, name, replacedBy }, refresh, whose) {
  return [
    !replacedBy && opener("Replace", `Replace ${name}`, (close) => rotating(id, close, refresh, whose)),
    " ",
    action("Revoke", (idempotencyKey) => revoke(id, idempotencyKey, refresh, whose), {
      sure: `Whoever uses ${name} is shut out within seconds. A revoked key does not come back.`,
    }),
  ];
}

async function revoke(id, idempotencyKey, refresh, whose) {
  await change(REVOKE, { idempotencyKey, id }, whose);
  announce("The key is revoked.");
  await refresh();
}
