// Which script draws what the address names, and for whom. `serving.py` answers the same addresses.

export const routes = [
  { address: "/", title: "Usage", load: () => import("/console/usage.js") },
  { address: "/costs", title: "Costs", load: () => import("/console/costs.js") },
  { address: "/campaigns", title: "Campaigns", load: () => import("/console/campaigns.js") },
  { address: "/campaigns/{campaign}", title: "Campaign", load: () => import("/console/campaign.js") },
  { address: "/accounts", title: "Accounts", load: () => import("/console/accounts.js") },
  { address: "/accounts/{account}", title: "Account", load: () => import("/console/account.js") },
  { address: "/plan", title: "Plan", load: () => import("/console/plan.js") },
  { address: "/alerts", title: "Alerts", load: () => import("/console/alerts.js") },
  { address: "/settings", title: "Settings", load: () => import("/console/settings.js") },
  { address: "/audit-log", title: "Audit log", load: () => import("/console/audit_log.js") },
  { address: "/sign-in", title: "Sign in", anybody: true, load: () => import("/console/sign_in.js") },
  { address: "/operator/tenants", title: "Tenants", operator: true, load: () => import("/console/tenants.js") },
  { address: "/operator/tenants/{slug}", title: "Tenant", operator: true, load: () => import("/console/tenant.js") },
  {
    address: "/operator/rate-cards",
    title: "Rate cards",
    operator: true,
    load: () => import("/console/rate_cards.js"),
  },
  { address: "/operator/prices", title: "Prices", operator: true, load: () => import("/console/prices.js") },
  { address: "/operator/margins", title: "Margins", operator: true, load: () => import("/console/margins.js") },
  { address: "/operator/jobs", title: "Jobs", operator: true, load: () => import("/console/jobs.js") },
];

/** The route of a path with what its address names; null where there is none. */
export function routeOf(path) {
  for (const route of routes) {
    const names = route.address.match(/(?<=\{)\w+/g) ?? [];
    const pattern = route.address.replace(/\{\w+\}/g, "([^/]+)");
    const found = path.match(new RegExp(`^${pattern}$`));
    if (!found) continue;
    try {
      const values = found.slice(1).map(decodeURIComponent);
      return { ...route, parameters: Object.fromEntries(names.map((name, at) => [name, values[at]])) };
    } catch {
      return null;
    }
  }
  return null;
}
