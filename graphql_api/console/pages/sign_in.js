// Sign in: with an API key, or by the tenant's identity provider. The demo offers its people.

import { element } from "/console/elements.js";
import { form } from "/console/forms.js";
import { Failure, reached } from "/console/graphql.js";
import { action, card } from "/console/parts.js";

const PROBLEMS = {
  "no-provider": "This tenant has no identity provider to sign in with here. Use an API key, or ask who runs Purser.",
  unavailable: "The identity provider does not answer. Try again later.",
  refused: "The identity provider did not let you in.",
  expired: "That took too long, or another attempt was begun. Try again.",
  untrusted: "The identity provider let you in, but what it says is not trusted here, or gives you no role.",
  "too-long": "What the identity provider says about you is too long for this browser to keep. Ask who runs Purser.",
  "too-many": "There were too many attempts. Wait a minute, then try again.",
};
// A path of this console, never what browsers read as another host: //host, /\host, and either with a tab or line feed between.
const OWN_PAGE = /^\/(?!\/)[!-[\]-~]*$/;
const PAID = "Thank you. The payment is credited as soon as it is confirmed. Sign in to see it.";

export async function load() {
  return (await reached("/sign-in/options")).json();
}

export function draw({ demo }, { query }) {
  const next = query.get("next") ?? "/";
  const problem = PROBLEMS[query.get("error")];
  const paid = new URLSearchParams(next.split("?")[1]).get("paid") === "1";
  return element(
    "div",
    { class: "sign-in" },
    element("h1", {}, "Sign in to Purser"),
    problem && element("p", { class: "banner full", role: "alert" }, problem),
    paid && element("p", { class: "banner near" }, PAID),
    demo.length > 0 &&
      card(
        "Look around the demo",
        {},
        demo.map((who) => action(who.description, () => enter({ demo: who.label }, next))),
      ),
    card("With an API key", {}, keyForm(next)),
    card("With your organisation", {}, providerForm(query.get("organisation"), next)),
  );
}

function keyForm(next) {
  const help = "It starts with psk_. This browser keeps it in a cookie that no script can read.";
  return form({
    fields: [{ name: "key", label: "Key", type: "password", required: true, help, autocomplete: "current-password" }],
    submit: "Sign in",
    send: ({ key }) => enter({ key }, next),
    done: () => {},
  });
}

function providerForm(organisation, next) {
  return form({
    fields: [
      {
        name: "tenant",
        label: "Organisation",
        value: organisation,
        required: true,
        help: "The short name of your tenant, such as acme.",
        autocomplete: "organization",
      },
    ],
    submit: "Continue",
    send: ({ tenant }) => location.assign(`/sign-in/with?${new URLSearchParams({ tenant, next })}`),
    done: () => {},
  });
}

async function enter(credential, next) {
  const headers = { "content-type": "application/json" };
  const response = await reached("/sign-in", { method: "POST", headers, body: JSON.stringify(credential) });
  if (!response.ok) {
    const { message } = await response.json();
    throw new Failure("UNAUTHENTICATED", message);
  }
  location.assign(OWN_PAGE.test(next) ? next : "/");
}
