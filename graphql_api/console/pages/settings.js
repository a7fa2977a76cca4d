// Settings: caps, agents, channels, the keys of providers, and the keys of this tenant.

import { AGENTS, agents } from "/console/agents.js";
import { API_KEYS, apiKeys } from "/console/api_keys.js";
import { CAPS, caps } from "/console/caps.js";
import { CHANNELS, channels } from "/console/channels.js";
import { PROVIDER_KEYS, providerKeys } from "/console/provider_keys.js";

// Workers may not read who else has keys, and only administrators read channels and API keys.
const SETTINGS = `query Settings($admin: Boolean!, $person: Boolean!) {
  ${CAPS}
  ${AGENTS}
  ${PROVIDER_KEYS}
  ${CHANNELS}
  ${API_KEYS}
}`;

/** What is asked depends on the viewer's role, so this page waits for it. */
export const needsViewer = true;

export function load({ ask, viewer }) {
  return ask(SETTINGS, { admin: mayChange(viewer), person: viewer.role !== "SERVICE" });
}

export function draw(data, context) {
  const may = mayChange(context.viewer);
  return [
    caps(data, may, context),
    agents(data, may, context),
    may && channels(data, context),
    data.providerKeys && providerKeys(data, may, context),
    may && apiKeys(data, context),
  ];
}

const mayChange = ({ role }) => role === "ADMIN" || role === "OPERATOR";
