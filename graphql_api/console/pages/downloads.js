// Downloads: files that the server makes, asked for with the session of this browser.

import { element } from "/console/elements.js";
import { Failure, tenantLookedAt } from "/console/graphql.js";
import { action } from "/console/parts.js";

// How long a browser may take to begin with what it is given.
const HANDED_OVER = 60_000;

/** A button that has a file made and gives it to the browser. `address()`: where the file is, when it is pressed. */
export function download(label, address) {
  return action(label, async () => {
    const { content, name } = await fileAt(address());
    const link = element("a", { href: URL.createObjectURL(content), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), HANDED_OVER);
  });
}

/** The file at an address of the API. By POST: with GET no browser says which page asks. Throws Failure. */
async function fileAt(address) {
  const tenant = tenantLookedAt();
  const headers = tenant ? { "purser-tenant": tenant } : {};
  try {
    const response = await fetch(address, { method: "POST", headers });
    if (response.ok) {
      const [, name] = response.headers.get("content-disposition").split('"');
      return { content: await response.blob(), name };
    }
    const answer = await response.json();
    const [{ message, extensions }] = answer.errors;
    throw new Failure(extensions?.code ?? "INTERNAL", message);
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure("UNREACHABLE", "The file did not arrive whole. Check the connection, then try again.");
  }
}
