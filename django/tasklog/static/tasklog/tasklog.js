// SPDX-License-Identifier: Apache-2.0
// The page of a run. Without it the page can be read in full: this follows a running task, and loads the
// parts before and after without leaving the page. HTML comes from the server, which has made it safe.
"use strict";
(() => {
  const log = document.getElementById("tl-log");
  if (!log) return;

  const POLL_MS = 2000;
  const LINES_MAX = 20000; // of what has been followed; older ones can be loaded again
  const status = document.getElementById("tl-status");
  const follow = document.getElementById("tl-follow");
  const parts = () => log.querySelectorAll(".tl-part");

  async function get(parameters) {
    const response = await fetch(`${log.dataset.url}?${new URLSearchParams(parameters)}`, {
      credentials: "same-origin",
      headers: { Accept: "application/json" },
    });
    if (response.status === 403 || response.status === 404 || response.redirected)
      throw Object.assign(new Error("You may no longer see this log."), { isFinal: true });
    if (!response.ok) throw new Error(`The server answered ${response.status}.`);
    return response.json();
  }

  function say(text) {
    if (status.textContent !== text) status.textContent = text;
  }

  // --- The part before, the part after -----------------------------------------------------------

  function beforeOf({ dataset }) {
    return dataset.head ? { before: dataset.start, head: dataset.head } : { before: dataset.start };
  }

  function linkToEarlier() {
    const start = Number(parts()[0]?.dataset.start || 0);
    let link = document.getElementById("tl-earlier");
    if (!start) return link?.parentNode.remove();
    if (!link) {
      link = document.createElement("a");
      link.id = "tl-earlier";
      link.textContent = "Load earlier";
      const line = document.createElement("p");
      line.className = "tl-more";
      line.append(link);
      log.prepend(line);
    }
    link.href = `?${new URLSearchParams(beforeOf(parts()[0]))}`;
  }

  async function loadEarlier() {
    const first = parts()[0];
    const { html } = await get(beforeOf(first));
    const fromEnd = log.scrollHeight - log.scrollTop;
    first.insertAdjacentHTML("beforebegin", html);
    linkToEarlier();
    log.scrollTop = log.scrollHeight - fromEnd; // what is being read stays where it is
  }

  async function loadLater(link) {
    const last = [...parts()].pop();
    const { html } = await get({ after: last.dataset.next });
    last.insertAdjacentHTML("afterend", html);
    const added = [...parts()].pop();
    if (added.dataset.last) link.parentNode.remove();
    else link.href = `?after=${added.dataset.next}`;
  }

  log.addEventListener("click", async (event) => {
    const link = event.target.closest("#tl-earlier, #tl-later");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    if (link.dataset.busy) return;
    link.dataset.busy = "1";
    try {
      await (link.id === "tl-later" ? loadLater(link) : loadEarlier());
    } catch (error) {
      say(error.message);
      location.assign(link.href);
    } finally {
      delete link.dataset.busy;
    }
  });

  // --- Where to begin ---------------------------------------------------------------------------

  // A link to a line that is not in the part shown: ask for the part that has it.
  function findLine() {
    const number = /^#L(\d+)$/.exec(location.hash)?.[1];
    if (number && parts().length && !document.getElementById(`L${number}`) && begins.get("line") !== number)
      location.replace(`?line=${number}#L${number}`);
    return Boolean(number);
  }

  const begins = new URLSearchParams(location.search);
  const isLinked = findLine();
  window.addEventListener("hashchange", findLine);
  if (!isLinked && parts().length && !["line", "before", "after"].some((name) => begins.has(name)))
    log.scrollTop = log.scrollHeight;

  // --- Following --------------------------------------------------------------------------------

  if (!log.dataset.follows) return;
  let following = !isLinked;
  let timer = 0;
  let seen = log.scrollTop; // the place we scrolled to ourselves

  const isAtEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 8;

  function setFollowing(on) {
    following = on;
    follow.setAttribute("aria-pressed", String(on));
    log.setAttribute("aria-live", on ? "polite" : "off");
    if (on) toEnd();
  }

  function toEnd() {
    log.scrollTop = log.scrollHeight;
    seen = log.scrollTop;
  }

  function dropOld() {
    let lines = log.querySelectorAll(".tl-line").length;
    const all = [...parts()];
    while (lines > LINES_MAX && all.length > 1) {
      const part = all.shift();
      lines -= part.children.length;
      part.remove();
    }
  }

  function show({ html, anew, only_end: onlyEnd }) {
    document.getElementById("tl-only-end").hidden = !onlyEnd;
    if (!html) return;
    const old = [...parts()];
    const last = old[old.length - 1];
    last.insertAdjacentHTML("afterend", html);
    if (anew) old.forEach((part) => part.remove());
    document.getElementById("tl-empty")?.remove();
    dropOld();
    linkToEarlier();
    if (following) toEnd();
  }

  async function poll() {
    const { next, number, mark } = [...parts()].pop().dataset;
    const answer = await get(following ? { next, number, mark } : {});
    const head = document.getElementById("tl-head");
    if (!head.contains(document.activeElement)) head.innerHTML = answer.head;
    if (following) show(answer);
    if (answer.running) return true;
    say(`The task has ended: ${answer.status}.`);
    if (following) {
      follow.hidden = true;
      log.setAttribute("aria-live", "off");
    }
    return false; // who has scrolled up gets the rest by "Follow"
  }

  async function tick() {
    clearTimeout(timer);
    let goesOn = true;
    try {
      if (!document.hidden) goesOn = await poll();
    } catch (error) {
      say(error.message);
      goesOn = !error.isFinal;
    }
    if (goesOn) timer = setTimeout(tick, POLL_MS);
  }

  follow.hidden = false;
  follow.addEventListener("click", () => {
    setFollowing(!following);
    if (following) tick();
  });
  log.addEventListener("scroll", () => {
    if (following && log.scrollTop < seen && !isAtEnd()) setFollowing(false);
    else if (following) seen = Math.max(seen, log.scrollTop);
  });
  document.addEventListener("visibilitychange", () => document.hidden || tick());
  setFollowing(following);
  timer = setTimeout(tick, POLL_MS);
})();
