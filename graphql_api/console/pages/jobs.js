// Jobs, for operators: whether everything that runs by itself still does.

import { element } from "/console/elements.js";
import { count, moment, words } from "/console/formats.js";
import { card, table, tag } from "/console/parts.js";

const JOBS = `query Jobs {
  jobRuns {
    job
    last { startedAt outcome }
    lastSuccess { endedAt done }
    lastFailure { endedAt message }
  }
}`;
const A_DAY = 24 * 60 * 60 * 1000;

export const load = ({ ask }) => ask(JOBS, {}, { tenant: null });

export function draw({ jobRuns }) {
  const late = jobRuns.filter(isOverdue);
  return [
    jobRuns.length > 0 && standing(late),
    card(
      "Runs",
      {},
      element(
        "p",
        { class: "faint" },
        "The last run of each job of the last 90 days. Servers sum up the runs of an hour.",
      ),
      table({
        caption: "Jobs, those that are overdue first",
        columns: COLUMNS,
        rows: [...late, ...jobRuns.filter((job) => !isOverdue(job))],
        empty: "No job has run yet: start purser serve, or the Lambda functions with their schedules.",
      }),
    ),
  ];
}

function standing(late) {
  if (!late.length) return element("p", { class: "banner fine" }, "Every job has succeeded within the last day.");
  const names = late.map(({ job }) => words(job)).join(", ");
  return element("p", { class: "banner full", role: "alert" }, `No success for over a day: ${names}.`);
}

function isOverdue({ lastSuccess }) {
  return lastSuccess === null || Date.now() - new Date(lastSuccess.endedAt) > A_DAY;
}

const TONES = { DONE: "fine", FAILED: "full", UNFINISHED: "near" };
const COLUMNS = [
  { title: "Job", main: true, cell: (job) => [words(job.job), isOverdue(job) && [" ", tag("Overdue", "full")]] },
  { title: "Last run", cell: ({ last }) => moment(last.startedAt) },
  { title: "Outcome", cell: ({ last }) => tag(words(last.outcome), TONES[last.outcome]) },
  { title: "Last success", cell: ({ lastSuccess }) => (lastSuccess ? moment(lastSuccess.endedAt) : "None") },
  { title: "Done then", number: true, cell: ({ lastSuccess }) => (lastSuccess ? count(lastSuccess.done) : "–") },
  { title: "Last failure", cell: ({ lastFailure }) => (lastFailure ? moment(lastFailure.endedAt) : "None") },
  { title: "Why it failed", cell: ({ lastFailure }) => lastFailure?.message ?? "" },
];
