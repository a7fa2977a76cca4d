// The session, which all tabs of a browser share: when it ends or becomes another's, no tab goes on showing what it showed.

const tabs = new BroadcastChannel("purser-session");
let person = null;

/** This page is drawn for that viewer: what was drawn for somebody else, here or in another tab, is loaded anew. */
export function drawnFor({ actor, role, tenant }) {
  const viewer = JSON.stringify([actor, role, role === "OPERATOR" ? null : tenant.slug]);
  if (viewer === person) return;
  if (person) location.reload();
  person = viewer;
  tabs.postMessage(person);
}

/** Somebody has signed out: here, and thereby in all tabs. */
export function sessionEnded() {
  tabs.postMessage(null);
  leave();
}

function leave() {
  document.documentElement.hidden = true;
  location.assign("/sign-in");
}

tabs.addEventListener("message", ({ data }) => {
  if (data === null) leave();
  else if (person && data !== person) location.reload();
});
// By the browser's button comes back what was shown before, whoever may see it now.
addEventListener("pageshow", ({ persisted }) => persisted && location.reload());

/** Whether a viewer is offered to change what is a tenant's: the API decides, and refuses everybody else. */
export const mayChange = ({ role }) => role === "ADMIN" || role === "OPERATOR";
