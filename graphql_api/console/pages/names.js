// Names: what people call the tenant's own things, which arrive as ids with its usage.

import { announce, element } from "/console/elements.js";
import { form, REFUSED } from "/console/forms.js";
import { ask, change } from "/console/graphql.js";
import { card, opener, pagedTable } from "/console/parts.js";

const PAGE = "edges { node { id name client } } pageInfo { hasNextPage endCursor }";
export const NAMES = `scopeNames(kind: $kind, first: 20) { ${PAGE} }`;
const MORE = `query Names($kind: NamedKind!, $after: String) { scopeNames(kind: $kind, first: 20, after: $after) { ${PAGE} } }`;
const NAME = `mutation NameScope($input: NameScopeInput!) { nameScope(input: $input) { __typename ${REFUSED} } }`;
const KINDS = {
  AGENT: ["Agents", "Agent role"],
  CAMPAIGN: ["Campaigns", "Campaign"],
  CLIENT: ["Clients", "Client"],
  PROJECT: ["Projects", "Project"],
  ACCOUNT: ["Accounts", "Account"],
};

/** Which kind of names the address asks for. */
export function kindOfNames(query) {
  const wanted = query.get("names");
  return Object.hasOwn(KINDS, wanted) ? wanted : "CAMPAIGN";
}

/** The card of the names of one kind. `may`: whether the viewer may give them. */
export function names({ scopeNames }, may, { query, go, refresh }) {
  const kind = kindOfNames(query);
  const [many, one] = KINDS[kind];
  const choose = ({ target }) => {
    const address = new URL(location.href);
    address.searchParams.set("names", target.value);
    address.hash = "";
    go(address.href);
  };
  const options = Object.entries(KINDS).map(([code, [text]]) =>
    element("option", { value: code, selected: code === kind }, text),
  );
  const chooser = element("select", { "aria-label": "Names of", onchange: choose }, options);
  const another = `Name another ${one.toLowerCase()}`;
  const adding = opener(another, another, (close) => naming(kind, {}, close, refresh), {});
  const columns = [
    { title: "Id", main: true, cell: ({ id }) => id },
    { title: "Name", cell: ({ name }) => name ?? element("span", { class: "faint" }, "none yet") },
    kind === "CAMPAIGN" && { title: "Client's id", cell: ({ client }) => client ?? "" },
    may && {
      title: "Change",
      cell: (thing) => opener("Name", `Name ${thing.id}`, (close) => naming(kind, thing, close, refresh)),
    },
  ].filter(Boolean);
  const more = async (after) => (await ask(MORE, { kind, after })).scopeNames;
  const nothing = `There are none yet. ${many} appear here with the first call that names them.`;
  return card(
    "Names",
    { actions: [element("span", {}, chooser, " ", may && adding)] },
    pagedTable({ caption: `Names of ${many.toLowerCase()}`, columns, connection: scopeNames, more, empty: nothing }),
  );
}

function naming(kind, { id, name, client }, close, refresh) {
  return form({
    fields: [
      id === undefined && {
        name: "id",
        label: `${KINDS[kind][1]}'s id`,
        required: true,
        maxlength: 200,
        help:
          kind === "AGENT" ? "As usage carries it. It counts towards the plan from then on." : "As usage carries it.",
      },
      { name: "name", label: "Name", value: name, maxlength: 200, help: "Empty: it goes by its id." },
      kind === "CAMPAIGN" && {
        name: "client",
        label: "Client's id",
        value: client,
        maxlength: 200,
        help: "Usage of the campaign that names no client counts to this one. Empty: it stays as it is.",
      },
    ],
    submit: "Save",
    send: (values, idempotencyKey) => change(NAME, { idempotencyKey, kind, id, ...values }),
    done: () => {
      close();
      announce("The name is saved.");
      return refresh();
    },
  });
}
