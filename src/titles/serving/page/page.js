// The web page. It sends requests only to the server that it was loaded from.

import { fetchJson } from "./fetch_json.js";

const TEXTS = {
  en: {
    heading: "Product titles to categories", language: "Language", titles: "Titles, one per line",
    hint: "For one title, the weight of each word is shown. For several, the table can be downloaded.",
    predict: "Find categories",
    category: "Category", score: "Score", title: "Title", word: "Word", mean: "mean of both",
    words: "Weight of each word", explained: "How much the score of the best category drops without the word.",
    download: "Download as CSV", empty: "Write a title first.", failed: "The request failed:",
    busy: (done, all) => `Searching … ${done} of ${all}`,
    done: (all) => (all === 1 ? "1 title answered" : `${all} titles answered`),
    reasons: {
      "no Latin letter or digit": "No category: the title has no Latin letter or digit.",
      "no usable word": "No category: no word of the title is known.",
    },
    shown: (count) => `The first ${count} are shown, all are in the download.`,
    tooLong: (line, most) => `Line ${line} is longer than ${most} characters.`,
    model: (networks, categories, words) => `${networks}: ${categories} categories, ${words} words`,
  },
  es: {
    heading: "De títulos de productos a categorías", language: "Idioma", titles: "Títulos, uno por línea",
    hint: "Con un título se ve qué palabras decidieron; varios se pueden descargar como tabla.",
    predict: "Buscar categorías",
    category: "Categoría", score: "Puntaje", title: "Título", word: "Palabra", mean: "media de ambas",
    words: "Qué palabras decidieron", explained: "Cuánto baja el puntaje de la mejor categoría sin la palabra.",
    download: "Descargar como CSV", empty: "Escriba primero un título.", failed: "Esto no funcionó:",
    busy: (done, all) => `Buscando … ${done} de ${all}`,
    done: (all) => (all === 1 ? "1 título respondido" : `${all} títulos respondidos`),
    reasons: {
      "no Latin letter or digit": "Sin categoría: el título no tiene letras latinas ni cifras.",
      "no usable word": "Sin categoría: las redes no conocen ninguna palabra del título.",
    },
    shown: (count) => `Se muestran los primeros ${count}; la descarga los tiene todos.`,
    tooLong: (line, most) => `La línea ${line} tiene más de ${most} caracteres.`,
    model: (networks, categories, words) => `${networks}: ${categories} categorías, ${words} palabras`,
  },
  pt: {
    heading: "De títulos de produtos a categorias", language: "Idioma", titles: "Títulos, um por linha",
    hint: "Com um título vê-se que palavras decidiram; vários podem ser baixados como tabela.",
    predict: "Buscar categorias",
    category: "Categoria", score: "Pontuação", title: "Título", word: "Palavra", mean: "média das duas",
    words: "Que palavras decidiram", explained: "Quanto cai a pontuação da melhor categoria sem a palavra.",
    download: "Baixar como CSV", empty: "Escreva primeiro um título.", failed: "Isto não funcionou:",
    busy: (done, all) => `Buscando … ${done} de ${all}`,
    done: (all) => (all === 1 ? "1 título respondido" : `${all} títulos respondidos`),
    reasons: {
      "no Latin letter or digit": "Sem categoria: o título não tem letras latinas nem algarismos.",
      "no usable word": "Sem categoria: as redes não conhecem nenhuma palavra do título.",
    },
    shown: (count) => `São mostrados os primeiros ${count}; o arquivo tem todos.`,
    tooLong: (line, most) => `A linha ${line} tem mais de ${most} caracteres.`,
    model: (networks, categories, words) => `${networks}: ${categories} categorias, ${words} palavras`,
  },
};
// Limits of the server per request, and the titles that the page shows without becoming slow.
const MAX_TITLES = 1000;
const MAX_CHARACTERS = 1000;
const SHOWN_TITLES = 200;

const get = (id) => document.getElementById(id);
let texts = TEXTS.en;
// Render the result and the status in the current language.
let renderResult = () => {};
let renderStatus = () => {};
// The number of the latest request; results of earlier ones are dropped.
let latest = 0;

/** Create an element with attributes and children; text is never parsed as HTML. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const number = (count) => count.toLocaleString(document.documentElement.lang);
const percent = (share) =>
  share.toLocaleString(document.documentElement.lang, { style: "percent", maximumFractionDigits: 1 });
const networkName = (network) => (network === "mean" ? texts.mean : network.toUpperCase());

/** The table of the categories of one title by one network, with a bar for each score. */
function categoryTable(network, scored) {
  const rows = scored.map(({ category, score }) => make("tr", {},
    make("td", { class: "category" }, ...breakable(category)),
    make("td", { class: "number" }, percent(score)),
    make("td", {}, make("meter", { min: 0, max: 1, value: score, "aria-hidden": "true" }))));
  const head = make("tr", {}, make("th", { scope: "col" }, texts.category),
    make("th", { scope: "col", class: "number" }, texts.score), make("td"));
  return make("table", {}, make("caption", {}, networkName(network)), make("thead", {}, head), make("tbody", {}, ...rows));
}

/** The predictions of all networks for one title, side by side. */
function comparison({ networks, reason }) {
  if (reason) return make("p", {}, texts.reasons[reason] ?? reason);
  const tables = Object.entries(networks).map(([network, scored]) => categoryTable(network, scored));
  return make("div", { class: "networks" }, ...tables);
}

/** A category name that may wrap after its underscores. */
const breakable = (category) => category.split(/(?<=_)/).flatMap((piece) => [piece, make("wbr")]);

/** A cell with the weight of a word, as a number and as a bar. */
function weightCell(share) {
  const cell = make("td", { class: share < 0 ? "number weight against" : "number weight" }, percent(share));
  cell.style.setProperty("--share", `${Math.min(100, Math.abs(100 * share))}%`);
  return cell;
}

/** The table of the weights of a title's words, by network. */
function weightTable({ words, networks: weights }) {
  const networks = Object.keys(weights);
  const head = make("tr", {}, make("th", { scope: "col" }, texts.word),
    ...networks.map((network) => make("th", { scope: "col", class: "number" }, networkName(network))));
  const rows = words.map((word, index) => make("tr", {}, make("th", { scope: "row" }, word),
    ...networks.map((network) => weightCell(weights[network][index]))));
  return make("section", {}, make("h2", {}, texts.words), make("p", {}, texts.explained),
    make("table", { class: "even" }, make("thead", {}, head), make("tbody", {}, ...rows)));
}

/** The table of several titles, one row each, with the best category by each network. */
function predictionTable(predictions) {
  const networks = Object.keys(predictions[0].networks);
  const head = make("tr", {}, make("th", { scope: "col" }, texts.title),
    ...networks.flatMap((network) => [
      make("th", { scope: "col" }, networkName(network)),
      make("th", { scope: "col", class: "number" }, texts.score)]));
  const rows = predictions.slice(0, SHOWN_TITLES).map(({ title, networks: categories, reason }) => make("tr", {},
    make("th", { scope: "row" }, title),
    ...(reason
      ? [make("td", { colspan: 2 * networks.length }, texts.reasons[reason] ?? reason)]
      : networks.flatMap((network) => [
        make("td", { class: "category" }, ...breakable(categories[network][0].category)),
        make("td", { class: "number" }, percent(categories[network][0].score))]))));
  const caption = predictions.length > SHOWN_TITLES ? texts.shown(SHOWN_TITLES) : "";
  const all = make("table", {}, make("caption", {}, caption),
    make("thead", {}, head), make("tbody", {}, ...rows));
  return make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": texts.heading }, all);
}

/** The predictions as CSV, with every field quoted. */
function csv(predictions) {
  const networks = Object.keys(predictions[0].networks);
  const head = ["title", ...networks.flatMap((network) => [network, `${network}_score`]), "reason"];
  const rows = predictions.map(({ title, networks: categories, reason }) =>
    [title, ...networks.flatMap((network) => [categories[network][0]?.category ?? "", categories[network][0]?.score ?? ""]),
      reason ?? ""]);
  const quoted = (field) => `"${String(field).replaceAll('"', '""')}"`;
  return [head, ...rows].map((row) => `${row.map(quoted).join(",")}\r\n`).join("");
}

function download(predictions) {
  const link = make("a", { href: "#", download: "categories.csv" }, texts.download);
  link.addEventListener("click", () => {
    URL.revokeObjectURL(link.href);
    // Excel detects UTF-8 only by the byte order mark.
    link.href = URL.createObjectURL(new Blob(["\ufeff", csv(predictions)], { type: "text/csv" }));
  });
  return make("p", {}, link);
}

async function submit(event) {
  event.preventDefault();
  const lines = get("titles").value.split("\n").map((line) => line.trim());
  const titles = lines.filter(Boolean);
  // Code points, as Python counts characters.
  const tooLong = lines.findIndex((line) => [...line].length > MAX_CHARACTERS);
  const request = ++latest;
  const isWanted = () => request === latest;
  setResult(() => []);
  if (!titles.length) return setStatus(() => texts.empty);
  if (tooLong >= 0) return setStatus(() => texts.tooLong(tooLong + 1, number(MAX_CHARACTERS)));
  try {
    const isSingle = titles.length === 1, predictions = [];
    for (let first = 0; first < titles.length; first += MAX_TITLES) {
      setStatus(() => texts.busy(first, titles.length));
      const body = { titles: titles.slice(first, first + MAX_TITLES), top: isSingle ? 5 : 1 };
      predictions.push(...(await fetchJson("predict", body, isWanted)).predictions);
      if (!isWanted()) return;
    }
    const hasCategory = isSingle && !predictions[0].reason;
    const weights = hasCategory ? await fetchJson("explain", { title: titles[0] }, isWanted) : null;
    if (!isWanted()) return;
    setResult(() => (isSingle
      ? [comparison(predictions[0]), ...(hasCategory ? [weightTable(weights)] : [])]
      : [download(predictions), predictionTable(predictions)]));
    setStatus(() => texts.done(titles.length));
  } catch (error) {
    if (isWanted()) setStatus(() => `${texts.failed} ${error.message}`);
  }
}

function setResult(elements) {
  renderResult = () => get("result").replaceChildren(...elements());
  renderResult();
}

function setStatus(text) {
  renderStatus = () => { get("status").textContent = text(); };
  renderStatus();
}

let model = null;
function setLanguage(language) {
  texts = TEXTS[language];
  document.documentElement.lang = get("language").value = language;
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = texts[element.dataset.text];
  document.title = texts.heading;
  if (model) {
    const { networks, categories, words } = model;
    get("model").textContent = texts.model(networks.join(", "), number(categories.length), number(words));
  }
  renderResult();
  renderStatus();
}

get("language").addEventListener("change", (event) => setLanguage(event.target.value));
get("form").addEventListener("submit", submit);
setLanguage(navigator.languages.map((language) => language.slice(0, 2)).find((language) => language in TEXTS) ?? "en");
try {
  model = await fetchJson("model");
  setLanguage(document.documentElement.lang);
} catch (error) {
  setStatus(() => `${texts.failed} ${error.message}`);
}
