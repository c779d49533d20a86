// The whole of the page script: it improves pages that work as plain links and forms. No dependency, no build step.
(() => {
  'use strict';
  const root = document.documentElement;
  root.classList.add('js');
  const $ = (s, el = document) => el.querySelector(s);
  const $$ = (s, el = document) => [...el.querySelectorAll(s)];
  const on = (type, what, run) => addEventListener(type, (e) => { const el = e.target.closest(what); if (el) run(el, e); });
  const say = (text) => { const r = $('#say'); if (r) { r.textContent = ''; setTimeout(() => { r.textContent = text; }, 30); } };

  // Theme: the server writes data-theme from a cookie; the button posts, or flips in place.
  const dark = () => root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  on('submit', '[data-theme-form]', (_, e) => {
    e.preventDefault();
    root.dataset.theme = dark() ? 'light' : 'dark';
    document.cookie = `theme=${root.dataset.theme};path=/;max-age=31536000;samesite=lax`;
    say(`${root.dataset.theme} theme`);
  });

  // Copy buttons: data-copy is the text, or #id of what has it.
  on('click', '[data-copy]', async (b) => {
    const from = b.dataset.copy.startsWith('#') ? $(b.dataset.copy).textContent : b.dataset.copy;
    try { await navigator.clipboard.writeText(from.trim()); say('Copied'); b.dataset.done = ''; } catch { say('Copy is not allowed here: select the text instead'); }
  });

  // Print button.
  on('click', '[data-print]', () => print());

  // Show a password.
  on('click', '[data-reveal]', (b) => {
    const input = $('#' + b.dataset.reveal);
    const show = input.type === 'password';
    input.type = show ? 'text' : 'password';
    b.setAttribute('aria-pressed', String(show));
  });

  // A refused form's summary takes the focus; its links focus the field.
  $('[data-error-summary]')?.focus({ preventScroll: true });
  on('click', '[data-error-summary] a[href^="#"]', (a, e) => {
    const field = $(a.getAttribute('href'));
    if (!field) return;
    e.preventDefault();
    (field.closest('.field') || field).scrollIntoView({ block: 'center' });
    field.focus({ preventScroll: true });
  });

  // Unsaved changes: say how many, and ask before leaving. Only named fields count.
  // After a refused save data-dirty is the number of values that came back unsaved.
  const changed = (f) => {
    if (!f.name || f.disabled || f.tagName === 'BUTTON') return false;
    if (f.type === 'checkbox' || f.type === 'radio') return f.checked !== f.defaultChecked && (f.type === 'checkbox' || f.checked);
    if (f.tagName === 'SELECT') return f.selectedIndex !== Math.max(0, [...f.options].findIndex((o) => o.defaultSelected));
    return f.value !== f.defaultValue;
  };
  for (const form of $$('form[data-guard]')) {
    const note = $('[data-changes]', form), sent = Number(form.dataset.dirty || 0);
    const count = () => sent + [...form.elements].filter(changed).length;
    let leaving = false;
    form.addEventListener('input', () => { const n = count(); if (note) note.textContent = n ? `${n} unsaved change${n > 1 ? 's' : ''}` : 'No unsaved changes'; });
    form.addEventListener('submit', () => { leaving = true; });
    addEventListener('beforeunload', (e) => { if (!leaving && count()) e.preventDefault(); });
  }

  // Filter tester: the server's own rule answers.
  for (const t of $$('[data-filter-test]')) {
    const src = $('#' + t.dataset.filterTest), name = $('input', t), out = $('output', t);
    let asked = 0;
    const run = async () => {
      const turn = ++asked;
      const query = new URLSearchParams({ filter: src.offsetParent ? src.value : 'as_profile', name: name.value });
      try {
        const answer = await fetch(`/profiles/ftp/filter-test?${query}`);
        if (turn !== asked || !answer.ok) return;
        const said = await answer.json();
        out.textContent = said.text; out.className = query.get('name') && (said.accepted ? 'yes' : 'no');
      } catch { /* the page works */ }
    };
    let timer = 0;
    const soon = () => { clearTimeout(timer); timer = setTimeout(run, 150); };
    t.parentElement.addEventListener('input', soon);
  }

  // A button puts its words where the cursor stands.
  const typed = (f) => { f.dispatchEvent(new Event('input', { bubbles: true })); f.focus(); };
  on('click', '[data-insert]', (b) => { const f = $('#' + b.dataset.insert); f.setRangeText(b.textContent, f.selectionStart, f.selectionEnd, 'end'); typed(f); });

  // A list in a text, as chips too: one that is pressed goes.
  for (const text of $$('[data-chips]')) {
    const draw = () => {
      const all = text.value.split(',').map((s) => s.trim()).filter(Boolean);
      text.previousElementSibling.replaceChildren(...all.map((s) => {
        const b = document.createElement('button');
        b.type = 'button'; b.className = 'chip'; b.textContent = s; b.title = 'Take out';
        b.onclick = () => { text.value = all.filter((o) => o !== s); typed(text); };
        return b;
      }));
    };
    text.addEventListener('input', draw); draw();
  }

  // Times in the reader's zone, when that is chosen; the title keeps the other one.
  const local = root.dataset.times === 'local' && new Intl.DateTimeFormat().resolvedOptions().timeZone;
  const day = (d) => `${d.getDate()} ${d.toLocaleString('en', { month: 'short' })} ${d.getFullYear()}`;
  const localise = (el) => {
    if (!local) return;
    for (const t of $$('time[datetime]', el)) {
      const said = t.textContent, d = new Date(t.dateTime), clock = d.toLocaleTimeString('en-GB');
      if (/^(.*, )?\d\d:\d\d:\d\d$/.test(said)) t.textContent = !said.includes(',') && day(d) === day(new Date()) ? clock : `${day(d)}, ${clock}`;
    }
    for (const z of $$('.zone', el)) z.textContent = local;
  };
  localise(document);

  // Live parts: the server pushes fragments of HTML, each with the id of what it replaces.
  // A region the reader is working in is left alone until focus leaves it.
  const live = document.body.dataset.live;
  if (live) {
    const waiting = new Map();
    const put = (html) => {
      const t = document.createElement('template'); t.innerHTML = html;
      const next = t.content.firstElementChild, old = next && document.getElementById(next.id);
      if (!old) return;
      localise(t.content);
      if (old.isEqualNode(next)) return;
      if (old.contains(document.activeElement)) { waiting.set(next.id, html); return; }
      old.replaceWith(next);
    };
    addEventListener('focusout', () => setTimeout(() => { for (const [id, html] of waiting) { waiting.delete(id); put(html); } }, 0));
    const lamp = $('#live-lamp');
    let es = null, late = 0, again = 0, pause = 2000;
    const lost = () => { if (lamp && lamp.hidden) { lamp.hidden = false; say(lamp.textContent); } };
    const open = () => {
      if (es) return;
      es = new EventSource(live);
      es.addEventListener('fragment', (e) => put(e.data));
      es.onopen = () => {
        clearTimeout(late); pause = 2000;
        if (lamp && !lamp.hidden) { lamp.hidden = true; say('Live updates are back.'); }
      };
      // A stream ends now and then by itself and opens again at once: only a lasting loss is said.
      es.onerror = () => {
        clearTimeout(late); late = setTimeout(lost, 4000);
        // Refused, such as for too many streams: the browser gives up, so the pause is ours.
        if (es.readyState === EventSource.CLOSED) { es = null; again = setTimeout(open, pause); pause = Math.min(pause * 2, 60000); }
      };
    };
    const close = () => { clearTimeout(late); clearTimeout(again); if (es) { es.close(); es = null; } };
    // One stream for the tab in front only: browsers allow few connections to one host.
    // The server sends every live region afresh when a stream opens, so nothing is missed.
    addEventListener('visibilitychange', () => { if (document.hidden) close(); else open(); });
    addEventListener('pagehide', close);
    if (!document.hidden) open();
  }

  // Flow map: drag from an out port to a card; the form below does the same.
  const map = $('.map');
  if (map) {
    let line = null, from = null;
    const at = (el, right) => { const m = map.getBoundingClientRect(), r = el.getBoundingClientRect(); return [(right ? r.right : r.left) - m.left - 28, r.top + r.height / 2 - m.top - 28]; };
    const path = (x1, y1, x2, y2) => { const d = Math.max(40, (x2 - x1) / 2); return `M${x1} ${y1}C${x1 + d} ${y1} ${x2 - d} ${y2} ${x2} ${y2}`; };
    map.addEventListener('pointerdown', (e) => {
      const port = e.target.closest('.port.out');
      if (!port) return;
      e.preventDefault(); port.setPointerCapture(e.pointerId);
      from = port.closest('.node');
      line = document.createElementNS('http://www.w3.org/2000/svg', 'path');
      line.setAttribute('class', 'edge hot'); $('svg', map).append(line);
    });
    map.addEventListener('pointermove', (e) => {
      if (!line) return;
      const m = map.getBoundingClientRect(), [x, y] = at(from, true);
      line.setAttribute('d', path(x, y, e.clientX - m.left - 28, e.clientY - m.top - 28));
      const over = document.elementFromPoint(e.clientX, e.clientY)?.closest('.node');
      $$('.node.target', map).forEach((n) => n.classList.remove('target'));
      if (over && over !== from) over.classList.add('target');
    });
    const done = () => {
      if (!line) return;
      const to = $('.node.target', map), form = $('#connect');
      line.remove(); line = null;
      if (!to || !form) return;
      to.classList.remove('target');
      form.elements.from.value = from.dataset.id; form.elements.to.value = to.dataset.id;
      say(`${from.dataset.id} will pass files to ${to.dataset.id}. Press Connect to confirm.`);
      form.scrollIntoView({ block: 'nearest' }); $('button', form).focus();
    };
    map.addEventListener('pointerup', done); map.addEventListener('pointercancel', done);
    on('click', '.port.out', (_, e) => e.preventDefault());
  }

  // Rows that are chosen: how many, and all of the page at once.
  for (const form of $$('form[data-picks]')) {
    const boxes = () => $$(`input[name=id][form=${form.getAttribute('id')}]`), note = $('[data-picked]', form), words = note.textContent;
    const count = () => { const n = boxes().filter((b) => b.checked).length; note.textContent = n ? `${n} selected:` : words; };
    addEventListener('change', (e) => {
      if (e.target.matches('[data-pick-all]')) boxes().forEach((b) => { b.checked = e.target.checked; });
      count();
    });
    count();
  }

  // Files go one by one, whole or not at all. A lost connection holds up the rest.
  const up = $('form[data-upload]');
  if (up) {
    const input = $('[type=file]', up), queue = [], mb = (n) => n < 1e6 ? `${Math.ceil(n / 1e3)} KB` : `${(n / 1e6).toFixed(1)} MB`;
    let busy = null;
    const next = () => {
      if (busy || !queue.length) return;
      const one = busy = queue.shift(), { file, row: [, note, button, bar] } = one, x = new XMLHttpRequest(), form = new FormData(up);
      const end = (text, goes) => {
        busy = null; bar.hidden = true; note.textContent = text;
        button.textContent = 'Retry'; button.onclick = () => { button.hidden = true; queue.unshift(one); next(); };
        say(`${file.name}: ${text}`);
        if (goes) next();
      };
      form.set('files', file);
      bar.hidden = button.hidden = false; button.textContent = 'Stop'; button.onclick = () => x.abort();
      x.upload.onprogress = (e) => { bar.value = e.loaded / e.total; note.textContent = `${mb(e.loaded)} of ${mb(e.total)}`; };
      x.onload = () => {
        const page = new DOMParser().parseFromString(x.responseText, 'text/html'), fresh = $('#waiting', page), old = $('#waiting');
        const done = x.status === 200 && fresh;
        button.hidden = !!done;
        if (done) { localise(fresh); if (!old.contains(document.activeElement)) old.replaceWith(fresh); }
        end(done ? `In Send, ${mb(file.size)}` : ($('[data-error-summary] li', page) || $('h1', page))?.textContent, true);
      };
      x.onerror = () => end('Connection lost. Nothing half is in Send; the rest waits.');
      x.onabort = () => end('Stopped. Nothing half is in Send.', true);
      x.open('POST', up.action); x.send(form);
    };
    up.addEventListener('submit', (e) => {
      if (!input.files.length) return;
      e.preventDefault();
      for (const file of input.files) {
        const li = $('template', up).content.firstElementChild.cloneNode(true), row = [...li.children];
        row[0].textContent = file.name; row[3].setAttribute('aria-label', file.name);
        $('ol', up).append(li); queue.push({ file, row });
      }
      input.value = ''; next();
    });
    addEventListener('beforeunload', (e) => { if (busy || queue.length) e.preventDefault(); });
  }

  // Keys, never while typing: / searches, g and a letter go, j and k move in the rows, x chooses, Esc closes, ? lists them.
  const step = (by) => {
    const rows = $$('main .table tbody tr:not(.detail)').filter((r) => $('a[href]', r));
    const at = rows.indexOf(document.activeElement.closest('tr') || $('tr:target'));
    const row = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : at + by];
    if (row) $('.name a[href], a[href]', row).focus();
  };
  const keys = { d: '/', f: '/flows', p: '/profiles/ftp', a: '/activity/receive' };
  let g = 0;
  addEventListener('keydown', (e) => {
    if (root.dataset.keys === 'off' || e.ctrlKey || e.metaKey || e.altKey || e.target.closest('input:not([type=checkbox]), textarea, select, dialog')) return;
    if (e.key === '/') { const s = $('[data-search]'); if (s) { e.preventDefault(); s.focus(); s.select(); } }
    else if (e.key === '?') { const d = $('#keys'); if (d) d.showModal(); }
    else if (e.key === 'g') g = Date.now();
    else if (e.key === 'j') step(1);
    else if (e.key === 'k') step(-1);
    else if (e.key === 'x') document.activeElement.closest('tr')?.querySelector('[type=checkbox]')?.click();
    else if (e.key === 'Escape') $('main .table tr.open a[aria-expanded=true]')?.click();
    else if (keys[e.key] && Date.now() - g < 1200) location.href = keys[e.key];
  });
  on('click', '[data-dialog]', (b) => $(b.dataset.dialog).showModal());
  on('click', '[data-close]', (b) => b.closest('dialog').close());
})();
