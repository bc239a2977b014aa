// A job's page asks how far it is, and is loaded again once that is over.
const PAUSE_MS = 1000;
const job = document.querySelector("[data-progress]");

function show(now) {
  const bar = document.getElementById("job-progress");
  if (bar) bar.value = now.handled;
  for (const place of job.querySelectorAll("[data-count]")) {
    place.textContent = now[place.dataset.count].toLocaleString("en-GB");
  }
}

async function look() {
  try {
    const response = await fetch(job.dataset.progress, { headers: { Accept: "application/json" } });
    if (response.redirected || !response.ok) return;
    const now = await response.json();
    show(now);
    if (now.state !== "queued" && now.state !== "running") {
      location.reload();
      return;
    }
  } catch {
    // The panel is away for a moment: ask again.
  }
  setTimeout(look, PAUSE_MS);
}

if (job) setTimeout(look, PAUSE_MS);
