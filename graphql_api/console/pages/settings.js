// Settings: caps, agents, names, channels, the keys of providers, and who may come in.

import { AGENTS, agents } from "/console/agents.js";
import { API_KEYS, apiKeys } from "/console/api_keys.js";
import { CAPS, caps } from "/console/caps.js";
import { CHANNELS, channels } from "/console/channels.js";
import { DEFAULT_CAPS, defaultCaps } from "/console/default_caps.js";
import { element } from "/console/elements.js";
import { IDENTITY_PROVIDERS, identityProviders } from "/console/identity_providers.js";
import { kindOfNames, NAMES, names } from "/console/names.js";
import { PROVIDER_KEYS, providerKeys } from "/console/provider_keys.js";
import { mayChange } from "/console/session.js";

// Workers may not read who else has keys, only administrators read channels and API keys, and operators the rest.
const SETTINGS = `query Settings($admin: Boolean!, $person: Boolean!, $operator: Boolean!, $kind: NamedKind!) {
  ${CAPS}
  ${AGENTS}
  ${NAMES}
  ${PROVIDER_KEYS}
  ${CHANNELS}
  ${API_KEYS}
  ${IDENTITY_PROVIDERS}
  ${DEFAULT_CAPS}
}`;

/** What is asked depends on the viewer's role, so this page waits for it. */
export const needsViewer = true;

export function load({ ask, viewer, query }) {
  const { role } = viewer;
  const roles = { admin: mayChange(viewer), person: role !== "SERVICE", operator: role === "OPERATOR" };
  return ask(SETTINGS, { ...roles, kind: kindOfNames(query) });
}

export function draw(data, context) {
  const { role, tenant } = context.viewer;
  const may = mayChange(context.viewer);
  return element(
    "div",
    { class: "stacked" },
    caps(data, may, context),
    agents(data, may, context),
    names(data, may, context),
    may && channels(data, context),
    data.providerKeys && providerKeys(data, may, context),
    may && apiKeys(data, context),
    role === "OPERATOR" && [identityProviders(data, tenant.slug, context), defaultCaps(data, context)],
  );
}
