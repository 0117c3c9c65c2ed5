"use strict";

// Keeps the overview alive: asks every two seconds, while somebody looks, for the parts of the page as the server makes them, and for the
// points of the charts that it does not have yet. All arithmetic is the server's.
(() => {
  const EVERY_MS = 2000;
  const PATIENCE_MS = 5000;
  const OLD_MS = 10000;
  const MISSING = "–";

  // Of each chart: the fields it shows, their names, and by what they are multiplied.
  const CHARTS = {
    reads: [["hits", "hits"], ["partial", "partial"], ["misses", "misses"], ["stale", "stale"], ["errors", "errors"]],
    cache: [["hit_ratio", "reads", 100], ["view_ratio", "views", 100]],
    times: [["p50_ms", "p50"], ["p95_ms", "p95"], ["p99_ms", "p99"]],
    errors: [["caller_errors", "caller"], ["origin_errors", "origin"], ["gateway_errors", "gateway"]],
    calls: [["calls", "all"], ["failed_calls", "failed"]],
    origin: [["call_p95_ms", "p95"]],
  };
  const COLOURS = {
    hits: 1, partial: 2, misses: 3, stale: 4, errors: 5, reads: 1, views: 2, p50: 1, p95: 2, p99: 3,
    caller: 2, origin: 4, gateway: 5, all: 1, failed: 5,
  };
  const RANGES = { cache: [0, 100] };

  const state = document.getElementById("state");
  const pause = document.getElementById("pause");
  let fields = [];
  let points = [];
  let kept = 900;
  let answeredAt = Date.now();
  let asking = false;
  let timer = 0;
  let charts = [];

  function told(value) {
    if (value === null || value === undefined) return MISSING;
    return value.toLocaleString("en", value >= 100 ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: 3 });
  }

  function clock(at, seconds = false) {
    const options = { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...(seconds ? { second: "2-digit" } : {}) };
    return new Date(at * 1000).toLocaleTimeString("en-GB", options);
  }

  // Where no pointer is, the legend tells of the last point.
  function tellLast(plot) {
    if (plot.cursor.idx === null || plot.cursor.idx === undefined) plot.setLegend({ idx: plot.data[0].length - 1 });
  }

  function columns(name) {
    const at = fields.indexOf("at_s");
    const times = points.map((point) => point[at]);
    const series = CHARTS[name].map(([field, , factor = 1]) => {
      const index = fields.indexOf(field);
      return points.map((point) => (point[index] === null ? null : point[index] * factor));
    });
    return [times, ...series];
  }

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  function options(name, width) {
    const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    return {
      width,
      height: 150,
      cursor: { drag: { x: false, y: false }, points: { size: 6 } },
      legend: { live: true },
      hooks: { setCursor: [tellLast] },
      scales: {
        x: { time: true, range: () => { const end = points.length ? points[points.length - 1][fields.indexOf("at_s")] : Date.now() / 1000; return [end - kept, end]; } },
        y: { range: (_, low, high) => RANGES[name] ?? [0, high > 0 ? high * 1.1 : 1] },
      },
      axes: [{ ...axis, size: 26, space: 70, values: (_, ticks) => ticks.map((at) => clock(at)) }, { ...axis, size: 46, values: (_, ticks) => ticks.map(told) }],
      series: [
        { label: "at", value: (_, value) => (value === null ? MISSING : clock(value, true)) },
        ...CHARTS[name].map(([, label]) => ({
          label,
          stroke: colour(`--series-${COLOURS[label]}`),
          width: 1.5,
          points: { show: points.length < 3 },
          value: (_, value) => told(value),
        })),
      ],
    };
  }

  function draw() {
    for (const chart of charts) chart.plot.destroy();
    charts = [...document.querySelectorAll("[data-chart]")].map((figure) => {
      const place = figure.querySelector(".plot");
      place.replaceChildren();
      const name = figure.dataset.chart;
      return { name, figure, place, plot: new uPlot(options(name, place.clientWidth), columns(name), place) };
    });
    for (const chart of charts) tellLast(chart.plot);
    describe();
  }

  // What a chart shows, in words.
  function describe() {
    for (const { name, figure } of charts) {
      const [, ...series] = columns(name);
      figure.querySelector(".told").textContent = CHARTS[name].map(([, label], index) => {
        const values = series[index].filter((value) => value !== null);
        const last = series[index][series[index].length - 1];
        return `${label}: now ${told(last)}, at most ${values.length ? told(Math.max(...values)) : MISSING}`;
      }).join("; ");
    }
  }

  function take(answer) {
    fields = answer.fields;
    kept = answer.kept;
    const first = points.length === 0;
    const at = fields.indexOf("at_s");
    points = points.concat(answer.points).filter((point) => point[at] > answer.at - kept);
    for (const part of document.querySelectorAll("[data-part]")) {
      const made = answer.parts[part.dataset.part];
      // where somebody is, by keyboard or with a selection, nothing is taken away from under them
      if (made !== undefined && !part.contains(document.activeElement)) keepScroll(part, made);
    }
    if (answer.points.length) {
      document.getElementById("charts").hidden = false;
      if (first) draw();
      else {
        for (const { name, plot } of charts) {
          plot.setData(columns(name));
          tellLast(plot);
        }
        describe();
      }
    }
    answeredAt = Date.now();
    state.classList.remove("old");
    state.textContent = `Live, as of ${clock(answer.at, true)}`;
  }

  function keepScroll(part, made) {
    const before = part.querySelector(".scroll")?.scrollLeft ?? 0;
    part.innerHTML = made;
    if (before) part.querySelector(".scroll").scrollLeft = before;
  }

  function admitAge() {
    const age = Date.now() - answeredAt;
    if (age > OLD_MS && !paused()) {
      state.classList.add("old");
      state.textContent = `No answer for ${Math.round(age / 1000)} s: these numbers are old`;
    }
  }

  const paused = () => pause.getAttribute("aria-pressed") === "true";

  async function ask() {
    if (asking || document.hidden || paused()) return;
    asking = true;
    clearTimeout(timer);
    try {
      const answer = await answered();
      if (answer) take(answer);
    } finally {
      asking = false;
      admitAge();
      timer = setTimeout(ask, EVERY_MS);
    }
  }

  // Nothing where the gateway does not answer: its numbers get old then, and say so.
  async function answered() {
    const since = points.length ? points[points.length - 1][fields.indexOf("at_s")] : 0;
    let reply;
    try {
      reply = await fetch(`/console/live.json?since=${since}`, { signal: AbortSignal.timeout(PATIENCE_MS), cache: "no-store" });
      if (reply.ok) return await reply.json();
    } catch {
      return null;
    }
    if (reply.status === 401 || reply.status === 403) location.reload(); // the session is over: the server says so
    return null;
  }

  pause.hidden = false;
  pause.addEventListener("click", () => {
    pause.setAttribute("aria-pressed", String(!paused()));
    pause.textContent = paused() ? "Go on" : "Pause";
    if (paused()) state.textContent = `Paused; ${state.textContent.replace("Live, as", "as")}`;
    else ask();
  });
  document.addEventListener("visibilitychange", ask);
  addEventListener("themechange", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  let resizing = 0;
  addEventListener("resize", () => {
    clearTimeout(resizing);
    resizing = setTimeout(() => { for (const { plot, place } of charts) plot.setSize({ width: place.clientWidth, height: 150 }); }, 100);
  });
  ask();
})();
