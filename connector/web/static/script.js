// Without this script every page still works: a confirmation is then a page of its own.
"use strict";

// A run that goes on is shown as it is now.
const live = document.querySelector("[data-live]");
if (live) {
  const refresh = async () => {
    try {
      const answer = await fetch(live.dataset.live, { headers: { Accept: "text/html" } });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const now = page.querySelector("#run");
      live.replaceChildren(...now.childNodes);
      if (!now.dataset.live) {
        document.querySelector("#ended").textContent = `The run has ended: ${now.dataset.status}.`;
        return;
      }
    } catch {
      // the server is away for a moment; the next look will tell
    }
    setTimeout(refresh, 1000);
  };
  setTimeout(refresh, 1000);
}

// What cannot be taken back is asked about, by the form or by the button that was pressed.
document.addEventListener("submit", (event) => {
  const form = event.target;
  const question = event.submitter?.dataset.confirm ?? form.dataset.confirm;
  if (!question) return;
  if (!window.confirm(question)) {
    event.preventDefault();
    return;
  }
  const sure = document.createElement("input");
  sure.type = "hidden";
  sure.name = "confirmed";
  sure.value = "1";
  form.append(sure);
});

// Coming back to a page must not bring a confirmation along.
window.addEventListener("pageshow", () => {
  for (const sure of document.querySelectorAll("form input[name=confirmed]")) {
    if (sure.form.querySelector("[data-confirm]") || sure.form.dataset.confirm) sure.remove();
  }
});
