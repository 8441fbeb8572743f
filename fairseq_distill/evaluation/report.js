"use strict";
// The page is whole without this script but for what one looks up: neighbours of a sentence, and mined pairs page by page.
// Text from data goes into the page as text alone (textContent), never as HTML.
(() => {
  const byId = (id) => document.getElementById(id);
  const read = (id) => (byId(id) ? JSON.parse(byId(id).textContent) : null);
  const whole = (value) => value.toLocaleString("en-US");

  function make(tag, css, text) {
    const node = document.createElement(tag);
    if (css) node.className = css;
    if (text !== undefined) node.textContent = text;
    return node;
  }

  // Without marks above and below letters, so that "e" finds "é"; the same for what is typed and for what is searched.
  const fold = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  const words = (typed) => fold(typed).split(/\s+/).filter(Boolean);
  const holds = (folded, wanted) => wanted.every((word) => folded.includes(word));

  // A sentence with its language and direction; what was typed is marked where letters stand one for one.
  function sentence(text, lang, typed, css) {
    const node = make("span", css || "text");
    node.dir = "auto";
    if (lang) node.lang = lang.replace(/_/g, "-");
    const wanted = words(typed || ""), folded = fold(text);
    const spans = [];
    if (folded.length === text.length) {
      for (const word of wanted) {
        for (let at = folded.indexOf(word); at >= 0; at = folded.indexOf(word, at + word.length)) spans.push([at, at + word.length]);
      }
    }
    spans.sort((a, b) => a[0] - b[0]);
    let done = 0;
    for (const [start, end] of spans) {
      if (start < done) continue;
      node.append(text.slice(done, start), make("mark", "", text.slice(start, end)));
      done = end;
    }
    node.append(text.slice(done));
    return node;
  }

  function neighbours(data) {
    const app = byId("neighbours-app");
    if (!data || !app) return;
    const set = byId("n-set"), find = byId("n-find"), wrong = byId("n-wrong"), list = byId("n-list"), detail = byId("n-detail");
    const MOST = 200, FIRST = 3, WIDTH = 4;
    let shown = [], at = 0, here = null;

    data.sets.forEach((one, s) => {
      const names = one.langs;
      const many = data.sets.length > 1 && data.sets.filter((other) => other.langs.join() === names.join()).length > 1;
      [0, 1].forEach((way) => {
        const option = make("option", "", `${names[way]} → ${names[1 - way]}${many ? ` · ${one.name}` : ""}`);
        option.value = `${s}/${way}`;
        set.append(option);
      });
    });

    function open() {
      const [s, way] = set.value.split("/").map(Number);
      const one = data.sets[s], texts = one.texts[way], others = one.texts[1 - way];
      byId("n-command").textContent = one.look_up;
      here = {
        one, way, texts, others, from: one.langs[way], to: one.langs[1 - way],
        rows: one.ways[way].rows.map((row) => ({
          own: row[0], place: row[1], cosine: row[2], folded: fold(`${texts[row[0]]} ${others[row[0]] || ""}`), text: fold(texts[row[0]]),
          found: Array.from({ length: (row.length - FIRST) / WIDTH }, (_, i) => row.slice(FIRST + WIDTH * i, FIRST + WIDTH * (i + 1))),
        })),
        back: new Set(one.ways[1 - way].rows.map((row) => row[0])),
      };
    }

    function draw(keep) {
      const wanted = words(find.value);
      shown = here.rows.filter((row) => holds(row.text, wanted) && !(wrong.checked && row.found[0][3]));
      at = Math.max(0, keep === undefined ? 0 : shown.findIndex((row) => row.own === keep));
      const n = here.one.n, missed = here.one.ways[here.way].wrong;
      const many = shown.length === 1 ? "1 sentence" : `${whole(shown.length)} sentences`;
      byId("n-status").textContent = `${many} of ${whole(here.rows.length)}${shown.length > MOST ? `, the first ${MOST} listed` : ""}. ` +
        `Of all ${whole(n)}, ${whole(missed)} (${(100 * missed / n).toFixed(1)} %) do not find their translation.`;
      const first = Math.min(Math.max(0, at - MOST / 2), Math.max(0, shown.length - MOST));
      list.replaceChildren(...shown.slice(first, first + MOST).map((row, i) => {
        const item = make("li", row.found[0][3] ? "" : "miss");
        item.id = `n-${row.own}`;
        item.setAttribute("role", "option");
        item.dataset.at = first + i;
        item.append(sentence(here.texts[row.own], here.from, find.value));
        if (!row.found[0][3]) item.append(make("small", "bad", "not found"));
        return item;
      }));
      if (!shown.length) list.append(make("li", "none", "No sentence holds that."));
      pick(at, keep !== undefined);
    }

    function pick(place, scroll) {
      at = place;
      for (const item of list.children) {
        const chosen = Number(item.dataset.at) === at && shown.length > 0;
        if (!shown.length) continue;
        item.setAttribute("aria-selected", chosen);
        if (chosen) {
          list.setAttribute("aria-activedescendant", item.id);
          if (scroll) list.scrollTop = item.offsetTop - list.clientHeight / 3;
        }
      }
      if (!shown.length) list.removeAttribute("aria-activedescendant");
      describe();
    }

    function describe() {
      detail.replaceChildren();
      if (!shown.length) return;
      const row = shown[at];
      detail.append(make("h3", "", "Sentence"), sentence(here.texts[row.own], here.from, "", "text asked"));
      const order = make("ol", "hits");
      row.found.forEach((found, i) => order.append(hit(found, i)));
      detail.append(make("h3", "", `What it finds in ${here.to}`), order);
      if (!row.found.some((found) => found[3]) && here.others[row.own] !== undefined) {
        const own = make("ol", "hits");
        own.append(line(here.others[row.own], null, row.cosine, `place ${whole(row.place)}`, "", row.own));
        detail.append(make("h3", "", "Its translation, which is not among these"), own);
      }
    }

    function hit(found, i) {
      const [other, score, cosine, right] = found;
      return line(here.others[other], score, cosine, right ? "right" : "wrong", `${right ? "good" : "bad"}${i ? "" : " first"}`, other);
    }

    function line(text, score, cosine, said, css, other) {
      const item = make("li", css), says = make("div", "says"), track = make("span", "track"), bar = make("span");
      bar.style.width = `${Math.max(0, Math.min(1, cosine)) * 100}%`;
      track.append(bar);
      item.append(sentence(text, here.to));
      says.append(make("span", "verdict", said), track, make("span", "num", `cosine ${cosine.toFixed(3)}`));
      if (score !== null) says.append(make("span", "num", `score ${score.toFixed(3)}`));
      if (here.back.has(other)) {
        const go = make("button", "link", "look it up");
        go.type = "button";
        go.setAttribute("aria-label", `Look up: ${text}`);
        go.addEventListener("click", () => turn(other));
        says.append(go);
      }
      item.append(says);
      return item;
    }

    // To the other side, at the sentence that was found.
    function turn(other) {
      set.value = `${data.sets.indexOf(here.one)}/${1 - here.way}`;
      find.value = "";
      wrong.checked = false;
      open();
      draw(other);
      list.focus({ preventScroll: true });
    }

    const STEPS = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8, Home: -Infinity, End: Infinity };
    list.addEventListener("keydown", (event) => {
      if (!(event.key in STEPS) || !shown.length) return;
      event.preventDefault();
      at = Math.max(0, Math.min(shown.length - 1, at + STEPS[event.key]));
      if (list.querySelector(`[data-at="${at}"]`)) pick(at, true);
      else draw(shown[at].own);
    });
    list.addEventListener("click", (event) => {
      const item = event.target.closest("[data-at]");
      if (item) pick(Number(item.dataset.at), false);
    });
    set.addEventListener("change", () => { open(); draw(); });
    find.addEventListener("input", () => draw());
    wrong.addEventListener("change", () => draw());
    app.hidden = false;
    open();
    draw();
  }

  function pairs(data) {
    const app = byId("pairs-app");
    if (!data || !app) return;
    const find = byId("p-find"), low = byId("p-low"), high = byId("p-high"), order = byId("p-order"), list = byId("p-list");
    const back = byId("p-back"), next = byId("p-next");
    const SIZE = 12;
    const all = data.pairs.map(([line, score, src, tgt, cosine]) => ({ line, score, src, tgt, cosine, folded: fold(`${src} ${tgt}`) }));
    // The same shuffle at every opening: the order of a number scrambled from the line's.
    const scrambled = (line) => Math.imul(Math.imul(line, 0x9e3779b1) ^ (line >>> 3), 0x85ebca6b) >>> 0;
    const ORDERS = {
      best: (a, b) => b.score - a.score || a.line - b.line,
      lowest: (a, b) => a.score - b.score || b.line - a.line,
      shuffled: (a, b) => scrambled(a.line) - scrambled(b.line) || a.line - b.line,
    };
    let shown = [], at = 0;

    function select() {
      const wanted = words(find.value), least = low.value === "" ? -Infinity : Number(low.value);
      const most = high.value === "" ? Infinity : Number(high.value);
      shown = all.filter((pair) => pair.score >= least && pair.score <= most && holds(pair.folded, wanted)).sort(ORDERS[order.value]);
      turn(0);
    }

    function turn(to) {
      at = to;
      list.replaceChildren(...shown.slice(at, at + SIZE).map((pair) => {
        const item = make("li"), score = make("span", "score num", pair.score.toFixed(3));
        if (pair.cosine !== undefined) score.append(make("small", "", `cosine ${pair.cosine.toFixed(3)}`));
        score.append(make("small", "", `line ${whole(pair.line)}`));
        item.append(score, sentence(pair.src, data.langs[0], find.value), sentence(pair.tgt, data.langs[1], find.value, "text other"));
        return item;
      }));
      byId("p-status").textContent = shown.length
        ? `${whole(at + 1)} to ${whole(Math.min(at + SIZE, shown.length))} of ${whole(shown.length)}${shown.length < all.length ? ` that fit, of ${whole(all.length)}` : ""}`
        : "No pair fits.";
      back.disabled = at === 0;
      next.disabled = at + SIZE >= shown.length;
    }

    for (const input of [find, low, high]) input.addEventListener("input", select);
    order.addEventListener("change", select);
    back.addEventListener("click", () => turn(Math.max(0, at - SIZE)));
    next.addEventListener("click", () => turn(at + SIZE));
    app.hidden = false;
    select();
  }

  neighbours(read("neighbour-data"));
  pairs(read("pair-data"));
})();
