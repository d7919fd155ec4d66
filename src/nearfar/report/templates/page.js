"use strict";
(() => {
  const data = JSON.parse(document.getElementById("payload").textContent);
  const tip = document.getElementById("tip");
  const paths2d = data.shapes.map(([path]) => new Path2D(path));
  const views = [];
  let hovered = null;   // {view, row} the pointer or the keys are on
  let pinned = false;   // a tap or click keeps it
  const single = new Map();   // family -> the class singled out

  const element = (tag, className, text) => {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;   // never markup: names come from the user
    return node;
  };
  const className = (map, k) => k < 0 ? "no label" : data.families[map.family].classes[k];
  const color = (map, k) => k < 0 ? "#8a909c" : data.families[map.family].styles[k][0];

  function thumbnail(number) {
    const node = element("span", "tile");
    node.style.setProperty("--x", number % data.sheet.columns);
    node.style.setProperty("--y", Math.floor(number / data.sheet.columns));
    return node;
  }

  class MapView {
    constructor(canvas) {
      this.canvas = canvas;
      this.show(Number(canvas.dataset.map));
      canvas.addEventListener("pointermove", event => { if (!pinned) this.point(event); });
      canvas.addEventListener("pointerleave", () => { if (!pinned) hover(null); });
      canvas.addEventListener("click", event => { pinned = false; this.point(event); pinned = hovered !== null; });
      canvas.addEventListener("keydown", event => this.key(event));
      canvas.addEventListener("blur", () => { pinned = false; hover(null); });
      new ResizeObserver(() => this.draw()).observe(canvas);
    }

    show(number) {
      this.map = data.maps[number];
      this.rowOf = new Map(this.map.path.map((path, row) => [path, row]));
    }

    at(row) {   // CSS px inside the canvas
      const side = this.canvas.clientWidth, margin = 12;
      const scale = (side - 2 * margin) / data.extent;
      return [margin + scale * this.map.xy[2 * row], margin + scale * (data.extent - this.map.xy[2 * row + 1])];
    }

    nearest(x, y) {
      let best = -1, least = 18 * 18;
      for (let row = 0; row < this.map.label.length; row++) {
        if (this.faded(row)) continue;
        const [px, py] = this.at(row);
        const d = (px - x) ** 2 + (py - y) ** 2;
        if (d < least) { least = d; best = row; }
      }
      return best;
    }

    point(event) {
      const row = this.nearest(event.offsetX, event.offsetY);
      hover(row < 0 ? null : {view: this, row});
    }

    key(event) {
      const step = {ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
      if (event.key === "Escape") { pinned = false; hover(null); return; }
      if (!step) return;
      event.preventDefault();
      const from = hovered && hovered.view === this ? hovered.row : -1;
      const [x, y] = from < 0 ? [0, 0] : this.at(from);
      let best = -1, least = Infinity;
      for (let row = 0; row < this.map.label.length; row++) {   // the nearest point that lies that way
        if (row === from || this.faded(row)) continue;
        const [px, py] = this.at(row);
        const along = (px - x) * step[0] + (py - y) * step[1];
        const across = Math.abs((px - x) * step[1]) + Math.abs((py - y) * step[0]);
        const cost = along + 3 * across;
        if (from < 0 || (along > 0 && across <= 2 * along)) if (cost < least) { least = cost; best = row; }
      }
      if (best >= 0) { pinned = true; hover({view: this, row: best}); }
    }

    faded(row) {
      const only = single.get(this.map.family);
      return only !== undefined && this.map.label[row] !== only;
    }

    draw() {
      const side = this.canvas.clientWidth, ratio = window.devicePixelRatio || 1;
      if (!side) return;
      this.canvas.width = this.canvas.height = Math.round(side * ratio);
      const pen = this.canvas.getContext("2d");
      const ink = getComputedStyle(document.body).color;
      pen.scale(ratio, ratio);
      const n = this.map.label.length;
      const radius = n > 1200 ? 2.3 : n > 500 ? 2.8 : 3.5;
      const active = this.active();
      for (let row = 0; row < n; row++) this.mark(pen, row, radius, ink, this.faded(row) ? .07 : active < 0 ? .9 : .45);
      if (active < 0) return;
      const [x, y] = this.at(active);
      pen.globalAlpha = .55; pen.strokeStyle = ink; pen.lineWidth = 1;
      for (const near of this.map.near[active]) {
        const [nx, ny] = this.at(near);
        pen.beginPath(); pen.moveTo(x, y); pen.lineTo(nx, ny); pen.stroke();
      }
      for (const near of this.map.near[active]) this.mark(pen, near, radius + .8, ink, 1);
      this.mark(pen, active, radius + 2, ink, 1);
      pen.globalAlpha = 1; pen.lineWidth = 2;
      pen.beginPath(); pen.arc(x, y, radius + 6, 0, 7); pen.stroke();
    }

    active() {   // the hovered image's row in this map, or -1
      if (!hovered) return -1;
      if (hovered.view === this) return hovered.row;
      if (hovered.view.map.family !== this.map.family) return -1;
      return this.rowOf.get(hovered.view.map.path[hovered.row]) ?? -1;
    }

    mark(pen, row, radius, ink, alpha) {
      const label = this.map.label[row], predicted = this.map.predicted[row];
      const shape = label < 0 ? 0 : data.families[this.map.family].styles[label][1];
      const [x, y] = this.at(row);
      pen.save();
      pen.globalAlpha = alpha;
      pen.translate(x, y);
      if (label >= 0 && predicted >= 0 && label !== predicted) {
        pen.strokeStyle = ink; pen.lineWidth = 1.2;
        pen.beginPath(); pen.arc(0, 0, radius + 2.6, 0, 7); pen.stroke();
      }
      pen.scale(radius, radius);
      if (data.shapes[shape][1]) { pen.fillStyle = color(this.map, label); pen.fill(paths2d[shape]); }
      else { pen.strokeStyle = color(this.map, label); pen.lineWidth = .55; pen.stroke(paths2d[shape]); }
      pen.restore();
    }
  }

  function hover(next) {
    if (next === hovered || (next && hovered && next.view === hovered.view && next.row === hovered.row)) return;
    hovered = next;
    for (const view of views) view.draw();
    if (!hovered) { tip.hidden = true; return; }
    describe(hovered.view.map, hovered.row);
    place(hovered.view, hovered.row);
  }

  function describe(map, row) {
    const top = element("div", "top"), what = element("div", "what"), label = map.label[row], predicted = map.predicted[row];
    const sure = map.confidence[row] === null ? "" : ` (${map.confidence[row]} % sure)`;
    what.append(element("p", "", label < 0 ? "no label" : className(map, label)));
    if (predicted >= 0) {
      const right = label === predicted;
      what.append(element("p", label >= 0 && !right ? "miss" : "", `predicted ${className(map, predicted)}${sure}${label < 0 ? "" : right ? " ✓" : " ✗"}`));
    }
    what.append(element("p", "path", data.paths[map.path[row]]));
    top.append(thumbnail(map.tile[row]), what);
    const near = element("div", "near");
    for (const other of map.near[row]) {
      const cell = element("div");
      cell.style.borderColor = color(map, map.label[other]);
      cell.append(thumbnail(map.tile[other]));
      near.append(cell);
    }
    const same = map.near[row].filter(other => map.label[other] === label).length;
    const of = label < 0 ? "" : `: ${same} of ${map.near[row].length} of this class`;
    const heading = map.near[row].length ? `Nearest neighbors${of}` : "No other image is on this map";
    tip.replaceChildren(top, element("p", "heading", heading), near);
  }

  function place(view, row) {
    tip.hidden = false;
    const box = view.canvas.getBoundingClientRect(), [x, y] = view.at(row);
    const width = tip.offsetWidth, height = tip.offsetHeight, gap = 18;
    const page = document.documentElement.clientWidth, tall = window.innerHeight;
    let left = box.left + x + gap;
    if (left + width > page - 8) left = box.left + x - gap - width;
    let topPx = Math.min(Math.max(8, box.top + y - height / 2), tall - height - 8);
    if (left < 8) { left = Math.max(8, Math.min(box.left + x - width / 2, page - width - 8)); topPx = box.top + y + gap; }
    tip.style.left = `${left + window.scrollX}px`;
    tip.style.top = `${topPx + window.scrollY}px`;
  }

  for (const canvas of document.querySelectorAll("canvas.map")) {
    const view = new MapView(canvas);
    views.push(view);
    const panel = canvas.closest("figure"), buttons = panel.querySelectorAll(".seeds button");
    for (const button of buttons) button.addEventListener("click", () => {
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      panel.querySelector(".agreement").textContent = button.dataset.agreement;
      pinned = false; hover(null);
      view.show(Number(button.dataset.map)); view.draw();
    });
  }
  for (const legend of document.querySelectorAll(".legend")) {
    const family = Number(legend.dataset.family), buttons = legend.querySelectorAll("button");
    for (const button of buttons) button.addEventListener("click", () => {
      const k = Number(button.dataset.class), on = single.get(family) !== k;
      if (on) single.set(family, k); else single.delete(family);
      for (const other of buttons) other.setAttribute("aria-pressed", String(on && other === button));
      for (const view of views) view.draw();
    });
  }
  document.addEventListener("keydown", event => { if (event.key === "Escape") { pinned = false; hover(null); } });
  const scheme = window.matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", () => { for (const view of views) view.draw(); });

  function select(node) {
    const range = document.createRange();
    range.selectNodeContents(node);
    const selection = window.getSelection();
    selection.removeAllRanges(); selection.addRange(range);
  }
  for (const button of document.querySelectorAll(".copy")) button.addEventListener("click", async () => {
    const code = button.parentElement.querySelector("code");
    let done = true;
    try { await navigator.clipboard.writeText(code.textContent); }
    catch { select(code); done = document.execCommand("copy"); }   // a page from file:// may have no clipboard
    button.textContent = done ? "Copied" : "Press Ctrl+C";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
})();
