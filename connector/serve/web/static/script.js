// Without this script every page still works: a confirmation is then a page of its own.
"use strict";

// What is said once is not said again by who loads the page anew.
const here = new URL(location.href);
if (here.searchParams.has("said")) {
  here.searchParams.delete("said");
  history.replaceState(history.state, "", here);
}

// What goes on is shown as it is now: a run, a decision about many rows, and the overview, which
// keeps still while somebody is in it with the keyboard, or looks elsewhere.
const live = document.querySelector("[data-live]");
if (live) {
  const pause = 1000 * (live.dataset.every ?? 1);
  const refresh = async () => {
    try {
      if (live.dataset.every && (document.hidden || live.contains(document.activeElement))) {
        setTimeout(refresh, pause);
        return;
      }
      const answer = await fetch(live.dataset.live, { headers: { Accept: "text/html" } });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const now = page.querySelector("#live");
      if (!now) {
        location.replace(live.dataset.live); // it failed: the page says why
        return;
      }
      live.replaceChildren(...now.childNodes);
      if (!now.dataset.live) {
        document.querySelector("#ended").textContent = now.dataset.ended;
        return;
      }
    } catch {
      // the server is away for a moment; the next look will tell
    }
    setTimeout(refresh, pause);
  };
  setTimeout(refresh, pause);
}

// What cannot be taken back is asked about, by the form or by the button that was pressed.
const sure = document.querySelector("#sure");
const agreed = new WeakSet();
document.addEventListener("submit", (event) => {
  const form = event.target;
  const button = event.submitter;
  const question = button?.dataset.confirm ?? form.dataset.confirm;
  if (!question || agreed.delete(form)) return;
  event.preventDefault();
  sure.querySelector("#question").textContent = question;
  const yes = sure.querySelector("#yes");
  yes.textContent = button?.firstChild.textContent ?? "Yes";
  yes.className = button?.classList.contains("danger") ? "primary danger" : "primary";
  sure.querySelector("#who").hidden = !("who" in form.dataset);
  sure.returnValue = "";
  sure.addEventListener("close", () => {
    if (sure.returnValue !== "yes") return;
    const given = { confirmed: "1" };
    for (const field of sure.querySelectorAll("#who:not([hidden]) input")) {
      given[field.name] = field.value;
    }
    form.addEventListener("formdata", ({ formData }) => {
      for (const [name, value] of Object.entries(given)) formData.set(name, value);
    }, { once: true });
    agreed.add(form);
    form.requestSubmit(button);
  }, { once: true });
  sure.showModal();
});
