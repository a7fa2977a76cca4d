// Provider keys: the tenant's own keys at providers, which waive the metered leg of a charge where the plan allows it.

import { announce, element } from "/console/elements.js";
import { moment, words } from "/console/formats.js";
import { form, REFUSED } from "/console/forms.js";
import { change } from "/console/graphql.js";
import { action, card, opener, table, tag } from "/console/parts.js";

export const PROVIDER_KEYS = `providers @include(if: $person) { slug name }
  providerKeys @include(if: $person) { provider hint createdAt actor used }`;
const SET = `mutation SetProviderKey($input: SetProviderKeyInput!) {
  setProviderKey(input: $input) { __typename ${REFUSED} }
}`;
const REMOVE = `mutation RemoveProviderKey($input: RemoveProviderKeyInput!) {
  removeProviderKey(input: $input) { __typename ... on Refusal { code message } }
}`;

/** The card of the provider keys. `may`: whether the viewer may set them. */
export function providerKeys({ providers, providerKeys: rows }, may, { refresh }) {
  const names = new Map(providers.map(({ slug, name }) => [slug, name]));
  const done = async (text) => {
    announce(text);
    await refresh();
  };
  const set = opener("Set a key", "Set a key of a provider", (close) => setting(providers, close, done), {});
  return card(
    "Own keys at providers",
    { actions: may ? [set] : [] },
    table({
      caption: "Own keys at providers",
      columns: [
        { title: "Provider", main: true, cell: ({ provider }) => names.get(provider) ?? words(provider) },
        ...COLUMNS,
        ...(may ? [removing(done)] : []),
      ],
      rows,
      empty: "There is none: calls run on the platform's keys.",
    }),
  );
}

const COLUMNS = [
  { title: "Key ends in", cell: ({ hint }) => element("code", {}, hint) },
  { title: "Set", cell: ({ createdAt, actor }) => `${moment(createdAt)} by ${actor}` },
  {
    title: "State",
    cell: ({ used }) =>
      used ? tag("in use", "fine") : [tag("not in use", "near"), " this installation runs calls on its own keys"],
  },
];

function setting(providers, close, done) {
  return form({
    fields: [
      { name: "provider", label: "Provider", options: providers.map(({ slug, name }) => [slug, name]) },
      {
        name: "key",
        label: "Key",
        type: "password",
        required: true,
        minlength: 8,
        maxlength: 4096,
        help: "It is kept sealed, never shown again, and takes the place of one that is set already.",
        autocomplete: "new-password",
      },
    ],
    submit: "Set",
    send: (values) => change(SET, values),
    done: () => {
      close();
      return done("The key is set.");
    },
  });
}

const removing = (done) => ({
  title: "Change",
  cell: ({ provider }) =>
    action(
      "Remove",
      async () => {
        await change(REMOVE, { provider });
        await done("The key is removed.");
      },
      { sure: "Calls of this provider then run on the platform's key, and are charged." },
    ),
});
