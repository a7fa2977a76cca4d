// Settings: caps, agents, channels, the keys of providers, and the keys of this tenant.

import { apiKeys, API_KEYS } from "/console/api_keys.js";
import { agents, AGENTS } from "/console/agents.js";
import { caps, CAPS } from "/console/caps.js";
import { channels, CHANNELS } from "/console/channels.js";
import { providerKeys, PROVIDER_KEYS } from "/console/provider_keys.js";

const SETTINGS = `query Settings($admin: Boolean!, $person: Boolean!) {
  ${CAPS}
  ${AGENTS}
  ${PROVIDER_KEYS}
  ${CHANNELS}
  ${API_KEYS}
}`;
