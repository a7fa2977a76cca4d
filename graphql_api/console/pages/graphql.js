// The public GraphQL API, asked with the session of this browser. Operators name the tenant in the page's address.

/** Why nothing was answered: `code` is the API's, or UNREACHABLE. */
export class Failure extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** A decided "no": `refusal` is what the API answered, with its figures where the document asks for them. */
export class Refusal extends Error {
  constructor(refusal) {
    super(refusal.message);
    this.refusal = refusal;
  }
}

/** The tenant that an operator looks at; null for everybody else. */
export function tenantLookedAt() {
  return new URLSearchParams(location.search).get("tenant");
}

const LONGEST_WAIT = 60_000;

/** What `fetch` answers, within a minute. Throws Failure where nothing comes. */
export async function reached(address, { signal, ...options } = {}) {
  const ends = [signal, AbortSignal.timeout(LONGEST_WAIT)].filter(Boolean);
  try {
    return await fetch(address, { ...options, signal: AbortSignal.any(ends) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("UNREACHABLE", "The server does not answer. Check the connection, then try again.");
  }
}

/** The data of an answer. Throws Failure. `tenant`: another one than the address names. */
export async function ask(query, variables = {}, { signal, tenant = tenantLookedAt() } = {}) {
  const headers = { "content-type": "application/json" };
  if (tenant) headers["purser-tenant"] = tenant;
  const body = JSON.stringify({ query, variables });
  const response = await reached("/graphql", { method: "POST", headers, body, signal });
  const answer = await response.json().catch(() => {
    throw new Failure("UNREACHABLE", `The server answered with status ${response.status} and no data. Try again.`);
  });
  if (answer.errors) {
    const [{ message, extensions }] = answer.errors;
    throw new Failure(extensions?.code ?? "INTERNAL", message);
  }
  return answer.data;
}

/**
 * What a mutation with `input` answers. Throws Refusal where it selects `... on Refusal { code message }` and is refused.
 * `options` are those of `ask`.
 */
export async function change(query, input, options) {
  const [result] = Object.values(await ask(query, { input }, options));
  if (result?.code && result.message) throw new Refusal(result);
  return result;
}

/** A new idempotency key. Keep it until the answer is known: sent twice, it is done once. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `console-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** An address of the console, for the same tenant. */
export function within(path) {
  const tenant = tenantLookedAt();
  if (!tenant) return path;
  const address = new URL(path, location.origin);
  address.searchParams.set("tenant", tenant);
  return address.pathname + address.search + address.hash;
}
