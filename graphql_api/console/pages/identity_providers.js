// Identity providers: whose tokens are taken for people of the tenant, and where they sign in to the console.

import { announce, element } from "/console/elements.js";
import { moment } from "/console/formats.js";
import { form, REFUSED } from "/console/forms.js";
import { change } from "/console/graphql.js";
import { action, card, opener, table, tag } from "/console/parts.js";

export const IDENTITY_PROVIDERS = `identityProviders @include(if: $operator) {
  id issuer audience jwksUrl roleClaim adminValues serviceValues memberValues clientId signInScope actor createdAt
}`;
const SET = `mutation SetIdentityProvider($input: SetIdentityProviderInput!) {
  setIdentityProvider(input: $input) { __typename ${REFUSED} }
}`;
const REMOVE = `mutation RemoveIdentityProvider($input: RemoveIdentityProviderInput!) {
  removeIdentityProvider(input: $input) { __typename ... on Refusal { code message } }
}`;

/** The card of the identity providers of a tenant (its short name), for operators. */
export function identityProviders({ identityProviders: rows }, tenant, { refresh }) {
  const add = opener("Add a provider", "Add an identity provider", (close) => setting({}, tenant, close, refresh), {});
  const address = `${location.origin}/sign-in?${new URLSearchParams({ organisation: tenant })}`;
  return card(
    "Identity providers",
    { actions: [add] },
    table({
      caption: "Identity providers",
      columns: columns(tenant, refresh),
      rows,
      empty: "There is none: people come with API keys. Add one, and they come as who they are in their organisation.",
    }),
    rows.some(({ clientId }) => clientId) &&
      element("p", { class: "faint" }, "People sign in at ", element("code", { class: "secret" }, address)),
  );
}

const listed = (text) => text?.split(",").map((value) => value.trim()) ?? null;

function setting(provider, tenant, close, refresh) {
  const { issuer, audience, jwksUrl, roleClaim, clientId, signInScope } = provider;
  const values = (name) => provider[name]?.join(", ");
  const known = issuer !== undefined;
  return form({
    fields: [
      !known && {
        name: "issuer",
        label: "Issuer",
        required: true,
        help: "The claim iss of its tokens, letter by letter.",
      },
      !known && {
        name: "audience",
        label: "Audience",
        required: true,
        help: "What the claim aud of its tokens holds.",
      },
      {
        name: "jwksUrl",
        label: "Address of its keys (JWKS)",
        value: jwksUrl,
        type: "url",
        required: true,
        help: "An https address on the public internet.",
      },
      {
        name: "roleClaim",
        label: "Claim that names the role",
        value: roleClaim,
        required: true,
        help: "Such as groups, or realm_access.roles.",
      },
      {
        name: "adminValues",
        label: "Values of administrators",
        value: values("adminValues"),
        help: "Separated by commas. Who has no value of any role has no access.",
      },
      { name: "memberValues", label: "Values of members", value: values("memberValues") },
      { name: "serviceValues", label: "Values of workers", value: values("serviceValues") },
      {
        name: "clientId",
        label: "Client's id, for signing in to this console",
        value: clientId,
        help: `A public client with the redirect address ${location.origin}/sign-in/callback/${tenant}. Empty: nobody signs in there.`,
      },
      {
        name: "signInScope",
        label: "Scopes besides openid",
        value: signInScope,
        help: "Separated by blanks: what puts the role's claim into the token.",
      },
    ],
    submit: "Save",
    send: ({ adminValues, memberValues, serviceValues, ...others }, idempotencyKey) =>
      change(SET, {
        idempotencyKey,
        ...(known && { issuer, audience }),
        ...others,
        adminValues: listed(adminValues),
        memberValues: listed(memberValues),
        serviceValues: listed(serviceValues),
      }),
    done: () => {
      close();
      announce("The identity provider is saved.");
      return refresh();
    },
  });
}

const columns = (tenant, refresh) => [
  {
    title: "Issuer",
    main: true,
    cell: ({ issuer, audience }) => [issuer, element("div", {}, element("small", {}, `for ${audience}`))],
  },
  { title: "Keys at", cell: ({ jwksUrl }) => jwksUrl },
  {
    title: "Roles",
    cell: ({ roleClaim, adminValues, memberValues, serviceValues }) => [
      element("code", {}, roleClaim),
      role("Administrators", adminValues),
      role("Members", memberValues),
      role("Workers", serviceValues),
    ],
  },
  {
    title: "Signing in here",
    cell: ({ clientId, signInScope }) =>
      clientId
        ? [tag("yes", "fine"), ` as ${clientId}`, signInScope && `, asks for ${signInScope}`]
        : "no: tokens for the API alone",
  },
  { title: "Set", cell: ({ createdAt, actor }) => `${moment(createdAt)} by ${actor}` },
  { title: "Change", cell: (provider) => changing(provider, tenant, refresh) },
];

function changing(provider, tenant, refresh) {
  const { id, issuer } = provider;
  return [
    opener("Change", `Change ${issuer}`, (close) => setting(provider, tenant, close, refresh)),
    " ",
    action(
      "Remove",
      async (idempotencyKey) => {
        await change(REMOVE, { idempotencyKey, id });
        announce("The identity provider is removed.");
        await refresh();
      },
      { sure: "Its people are shut out within seconds." },
    ),
  ];
}

function role(title, values) {
  return values.length > 0 && element("div", {}, `${title}: ${values.join(", ")}`);
}
