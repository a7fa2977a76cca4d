// Channels: where alerts go, such as Slack, e-mail or a webhook.

import { announce, element } from "/console/elements.js";
import { moment } from "/console/formats.js";
import { choice, form, REFUSED } from "/console/forms.js";
import { change, newKey } from "/console/graphql.js";
import { action, card, opener, shownOnce, table } from "/console/parts.js";

export const CHANNELS = "channels @include(if: $admin) { id kind name hint eventTypes actor createdAt }";
const ADD = `mutation AddChannel($input: AddChannelInput!) {
  addChannel(input: $input) { ... on ChannelAdded { signingSecret } ${REFUSED} }
}`;
const TEST = `mutation TestChannel($input: TestChannelInput!) {
  testChannel(input: $input) { ... on ChannelTested { delivered error } ... on Refusal { code message } }
}`;
const REMOVE = `mutation RemoveChannel($input: RemoveChannelInput!) {
  removeChannel(input: $input) { __typename ... on Refusal { code message } }
}`;

/** The card of the channels, for who may change them. */
export function channels({ channels: rows }, { refresh }) {
  const add = opener("Add a channel", "Add a channel", (close) => adding(close, refresh), {});
  const empty = "Alerts go nowhere but to this console's log. Add a channel to be told.";
  return card("Channels", { actions: [add] }, table({ caption: "Channels", columns: columns(refresh), rows, empty }));
}

const KINDS = {
  SLACK: {
    name: "Slack",
    target: "Incoming webhook's address",
    attributes: { type: "url", placeholder: "https://hooks.slack.com/services/…" },
  },
  EMAIL: { name: "E-mail", target: "E-mail address", attributes: { type: "email" } },
  WEBHOOK: {
    name: "Webhook",
    target: "Address",
    attributes: { type: "url", placeholder: "https://", help: "An https address on the public internet." },
  },
};

function adding(close, refresh) {
  const kinds = Object.entries(KINDS).map(([kind, { name }]) => [kind, name]);
  return choice("Kind", kinds, (kind) => addingKind(kind, close, refresh));
}

function addingKind(kind, close, refresh) {
  const { target, attributes } = KINDS[kind];
  return form({
    fields: [
      { name: "name", label: "Name", required: true, maxlength: 200, help: "By which you know it, such as On call." },
      { name: "target", label: target, required: true, ...attributes },
      kind === "WEBHOOK" && {
        name: "eventTypes",
        label: "Events",
        help: "Such as alert.raised, wallet.low; separated by commas. Empty: every event.",
      },
    ],
    submit: "Add",
    send: ({ eventTypes, ...values }, idempotencyKey) => {
      const wanted = eventTypes?.split(",").map((text) => text.trim()) ?? null;
      return change(ADD, { idempotencyKey, kind, ...values, eventTypes: wanted });
    },
    done: async ({ signingSecret }) => {
      close();
      announce("The channel is added.");
      if (signingSecret) shownOnce("The webhook's signing secret", signingSecret);
      await refresh();
    },
  });
}

const columns = (refresh) => [
  { title: "Channel", main: true, cell: ({ name }) => name },
  { title: "Kind", cell: ({ kind }) => KINDS[kind].name },
  { title: "Where", cell: ({ hint }) => hint },
  {
    title: "Takes",
    cell: ({ kind, eventTypes }) =>
      eventTypes.length ? eventTypes.join(", ") : kind === "WEBHOOK" ? "every event" : "alerts",
  },
  { title: "Added", cell: ({ createdAt, actor }) => `${moment(createdAt)} by ${actor}` },
  {
    title: "Change",
    cell: ({ id, name }) => [
      opener("Test", `Test ${name}`, () => tested(id)),
      " ",
      action("Remove", (key) => remove(id, key, refresh), {
        sure: `Nothing is sent to ${name} any more, and its address is forgotten.`,
      }),
    ],
  },
];

async function tested(id) {
  const { delivered, error } = await change(TEST, { idempotencyKey: newKey(), id });
  return delivered
    ? element("p", { role: "status" }, "The test message has arrived.")
    : element("p", { role: "alert", class: "problem" }, `The test message has not arrived: ${error}`);
}

async function remove(id, idempotencyKey, refresh) {
  await change(REMOVE, { idempotencyKey, id });
  announce("The channel is removed.");
  await refresh();
}
