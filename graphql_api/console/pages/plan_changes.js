// What administrators change about the plan: which one it is, and when its cycles begin.

import { announce, element } from "/console/elements.js";
import { moment, money } from "/console/formats.js";
import { form, REFUSED } from "/console/forms.js";
import { change } from "/console/graphql.js";
import { action, opener } from "/console/parts.js";

const CHANGE_PLAN = `mutation ChangePlan($input: ChangePlanInput!) {
  changePlan(input: $input) { ... on Tenant { plan { name } nextPlan { name } } ... on Refusal { code message } }
}`;
const SET_CYCLE = `mutation SetCycle($input: SetCycleInput!) { setCycle(input: $input) { __typename ${REFUSED} } }`;
const NANO_DIGITS = 9;

/** The button that changes to a plan, and says first when it holds; nothing where it holds already or is to come. */
export function planButton(wanted, { plan, nextPlan, cycleEnd }, refresh) {
  if (wanted.key === (nextPlan ?? plan).key) return null;
  const keeps = wanted.key === plan.key;
  const atOnce = nano(wanted.price.amount) >= nano(plan.price.amount);
  const price = `${money(wanted.price.amount, wanted.price.currency)} a month`;
  const now = `It holds at once, for ${price}: what it gives more than ${plan.name} is granted now, for the rest of this cycle too.`;
  const later = `It holds from the next cycle, ${moment(cycleEnd)}, for ${price}. Until then ${plan.name} stays. Choose ${plan.name} again to take this back.`;
  const label = keeps ? `Keep ${plan.name}` : `Change to ${wanted.name}`;
  return opener(label, `${label}?`, (close) => [
    element("p", {}, keeps ? `The change to ${nextPlan.name} is taken back.` : atOnce ? now : later),
    action(
      label,
      async (idempotencyKey) => {
        const { plan: held, nextPlan: next } = await change(CHANGE_PLAN, { idempotencyKey, plan: wanted.key });
        close();
        announce(next ? `From the next cycle on: ${next.name}.` : `The plan is ${held.name}.`);
        await refresh();
      },
      { prominent: true },
    ),
  ]);
}

/** The button that moves the cycles. */
export function cycleButton({ anchorDay, timeZone, nextAnchorDay, nextTimeZone, cycleEnd }, refresh) {
  return opener("Change the cycle", "Change the cycle", (close) => [
    element("p", {}, `It changes with the next cycle: the running one ends ${moment(cycleEnd)}, as it is.`),
    form({
      fields: [
        {
          name: "anchorDay",
          label: "Cycles begin on day",
          type: "number",
          min: 1,
          max: 31,
          required: true,
          value: nextAnchorDay ?? anchorDay,
          help: "Of the month; a shorter month begins one on its last day.",
        },
        {
          name: "timeZone",
          label: "Time zone",
          required: true,
          value: nextTimeZone ?? timeZone,
          suggestions: Intl.supportedValuesOf("timeZone").map((zone) => [zone, zone]),
          help: "An IANA name such as Asia/Kolkata. Months of budgets follow it too.",
        },
      ],
      submit: "Save",
      send: (values, idempotencyKey) =>
        change(SET_CYCLE, { idempotencyKey, ...values, anchorDay: values.anchorDay && Number(values.anchorDay) }),
      done: () => {
        close();
        announce("The cycle changes with the next one.");
        return refresh();
      },
    }),
  ]);
}

/** A price in billionths, exactly. */
function nano(decimal) {
  const [whole, part = ""] = decimal.split(".");
  return BigInt(whole + part.padEnd(NANO_DIGITS, "0"));
}
