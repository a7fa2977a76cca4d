// What administrators set on a campaign: its name, its caps, and whether it is in use.

import { announce, element } from "/console/elements.js";
import { usd } from "/console/formats.js";
import { DECIMAL, form } from "/console/forms.js";
import { change } from "/console/graphql.js";
import { action, opener } from "/console/parts.js";

const answering = (operation, input) =>
  `mutation Set($input: ${input}!) { ${operation}(input: $input) { __typename ... on Refusal { code message } } }`;
const SET = answering("setBudget", "SetBudgetInput");
const REMOVE = answering("removeBudget", "RemoveBudgetInput");
const NAME = answering("nameScope", "NameScopeInput");
const DEACTIVATE = answering("deactivateScope", "ScopeInput");
const PERIODS = { TOTAL: "In all", MONTH: "Each month" };

function finished(refresh, close, text) {
  return async () => {
    close?.();
    announce(text);
    await refresh();
  };
}

/** A button to set or remove the caps. */
export function capping({ campaign, budgets }, { refresh }) {
  const capped = budgets.filter(({ cap }) => cap !== null);
  const kept = (period) => capped.find((budget) => budget.period === period)?.thresholds;
  return opener(capped.length ? "Change the cap" : "Set a cap", "Cap of the campaign", (close) => [
    form({
      fields: [
        { name: "cap", label: "At most (US dollars)", value: capped[0]?.cap, required: true, ...DECIMAL },
        { name: "period", label: "Over", options: Object.entries(PERIODS), value: capped[0]?.period },
      ],
      submit: "Set the cap",
      send: ({ cap, period }, idempotencyKey) =>
        change(SET, { idempotencyKey, scope: "CAMPAIGN", scopeId: campaign, period, cap, thresholds: kept(period) }),
      done: finished(refresh, close, "The cap is set."),
    }),
    element(
      "p",
      { class: "faint" },
      "Calls are refused that would pass it, and the campaign is paused. A pause that the old cap made is lifted where the new one leaves room.",
    ),
    capped.map(({ period, cap }) =>
      element(
        "p",
        {},
        `${PERIODS[period]}: ${usd(cap)} `,
        action(
          "Remove",
          async (idempotencyKey) => {
            await change(REMOVE, { idempotencyKey, scope: "CAMPAIGN", scopeId: campaign, period });
            await finished(refresh, close, "The cap is removed.")();
          },
          { danger: true },
        ),
      ),
    ),
  ]);
}

/** A button to take the campaign out of use. */
export function deactivating({ campaign }, { refresh }) {
  return opener("Take out of use", "Take the campaign out of use", (close) =>
    form({
      fields: [
        { name: "reason", label: "Why", maxlength: 200, help: "Whoever is refused is told. It may stay empty." },
      ],
      submit: "Take out of use",
      send: ({ reason }, idempotencyKey) =>
        change(DEACTIVATE, { idempotencyKey, scope: "CAMPAIGN", scopeId: campaign, reason }),
      done: finished(refresh, close, "The campaign is out of use."),
    }),
  );
}

/** A button to name the campaign and say whose it is. */
export function naming({ campaign, name, client }, { refresh }) {
  return opener(
    "Name",
    "Name of the campaign",
    (close) =>
      form({
        fields: [
          { name: "name", label: "Name", value: name, maxlength: 200, help: "Empty: it goes by its id." },
          {
            name: "client",
            label: "Client's id",
            value: client?.id,
            maxlength: 200,
            help: "Empty: it stays as it is.",
          },
        ],
        submit: "Save",
        send: (values, idempotencyKey) => change(NAME, { idempotencyKey, kind: "CAMPAIGN", id: campaign, ...values }),
        done: finished(refresh, close, "The campaign is named."),
      }),
    { class: "plain" },
  );
}
