// Channels: where alerts go, such as Slack, e-mail or a webhook.

import { announce } from "/console/elements.js";
import { moment, words } from "/console/formats.js";
import { change, Refusal } from "/console/graphql.js";
import { action, card, form, opener, shownOnce, table } from "/console/parts.js";

export const CHANNELS = "channels @include(if: $admin) { id kind name hint eventTypes actor createdAt }";
const ADD = `mutation AddChannel($input: AddChannelInput!) {
  addChannel(input: $input) { ... on ChannelAdded { signingSecret } ... on Refusal { code message } }
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

function adding(close, refresh) {
  return form({
    fields: [
      {
        name: "kind",
        label: "Kind",
        options: [
          ["SLACK", "Slack"],
          ["EMAIL", "E-mail"],
          ["WEBHOOK", "Webhook"],
        ],
      },
      { name: "name", label: "Name", required: true, maxlength: 200 },
      {
        name: "target",
        label: "Where",
        required: true,
        help: "A Slack incoming webhook's address, an e-mail address, or an https address.",
      },
    ],
    submit: "Add",
    send: (values, idempotencyKey) => change(ADD, { idempotencyKey, ...values }),
    done: async ({ signingSecret }) => {
      close();
      announce("The channel is added.");
      await refresh();
      if (signingSecret) shownOnce("The webhook's signing secret", signingSecret);
    },
  });
}

const columns = (refresh) => [
  { title: "Channel", main: true, cell: ({ name }) => name },
  { title: "Kind", cell: ({ kind }) => words(kind) },
  { title: "Where", cell: ({ hint }) => hint },
  { title: "Takes", cell: ({ eventTypes }) => (eventTypes.length ? eventTypes.join(", ") : "everything") },
  { title: "Added", cell: ({ createdAt, actor }) => `${moment(createdAt)} by ${actor}` },
  {
    title: "Change",
    cell: ({ id }) => [
      action("Test", (key) => test(id, key)),
      " ",
      action("Remove", (key) => remove(id, key, refresh), { sure: "Nothing is sent to it any more." }),
    ],
  },
];

async function test(id, idempotencyKey) {
  const { delivered, error } = await change(TEST, { idempotencyKey, id });
  if (!delivered) throw new Refusal({ message: `It did not arrive: ${error}` });
  announce("The test message arrived.");
}

async function remove(id, idempotencyKey, refresh) {
  await change(REMOVE, { idempotencyKey, id });
  announce("The channel is removed.");
  await refresh();
}
