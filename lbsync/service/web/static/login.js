// The link that the service prints has its token in the fragment, which no browser sends: this hands it over once.
"use strict";
(async () => {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!token) return;
  history.replaceState(null, "", location.pathname);
  const told = document.getElementById("told");
  try {
    const answer = await fetch("/api/v1/session", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token }),
    });
    if (answer.ok) {
      location.replace("/");
      return;
    }
    const problem = await answer.json();
    told.textContent = [problem.message, problem.remedy].filter(Boolean).join(": ");
  } catch {
    told.textContent = "The service does not answer.";
  }
})();
