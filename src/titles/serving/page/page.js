// The page: asks the application it came from, and nobody else.

import { ask } from "./fetch_json.js";

const TEXTS = {
  en: {
    heading: "Product titles to categories", language: "Language", ask: "Titles, one a line",
    hint: "One title shows which words decided; several can be downloaded as a table.", answer: "Find categories",
    category: "Category", score: "Score", title: "Title", word: "Word", mean: "mean of both",
    words: "Which words decided", explained: "How much the score of the best category falls without the word.",
    download: "Download as CSV", empty: "Write a title first.", failed: "This did not work:",
    busy: (done, all) => `Looking … ${done} of ${all}`,
    done: (all) => (all === 1 ? "1 title answered" : `${all} titles answered`),
    reasons: {
      "no Latin letter or digit": "No category: the title has no Latin letter or digit.",
      "no known word": "No category: the networks know no word of the title.",
    },
    shown: (count) => `The first ${count} are shown, all are in the download.`,
    tooLong: (line, most) => `Line ${line} is longer than ${most} characters.`,
    model: (networks, categories, words) => `${networks}: ${categories} categories, ${words} words`,
  },
  es: {
    heading: "De títulos de productos a categorías", language: "Idioma", ask: "Títulos, uno por línea",
    hint: "Con un título se ve qué palabras decidieron; varios se pueden descargar como tabla.",
    answer: "Buscar categorías",
    category: "Categoría", score: "Puntaje", title: "Título", word: "Palabra", mean: "media de ambas",
    words: "Qué palabras decidieron", explained: "Cuánto baja el puntaje de la mejor categoría sin la palabra.",
    download: "Descargar como CSV", empty: "Escriba primero un título.", failed: "Esto no funcionó:",
    busy: (done, all) => `Buscando … ${done} de ${all}`,
    done: (all) => (all === 1 ? "1 título respondido" : `${all} títulos respondidos`),
    reasons: {
      "no Latin letter or digit": "Sin categoría: el título no tiene letras latinas ni cifras.",
      "no known word": "Sin categoría: las redes no conocen ninguna palabra del título.",
    },
    shown: (count) => `Se muestran los primeros ${count}; la descarga los tiene todos.`,
    tooLong: (line, most) => `La línea ${line} tiene más de ${most} caracteres.`,
    model: (networks, categories, words) => `${networks}: ${categories} categorías, ${words} palabras`,
  },
  pt: {
    heading: "De títulos de produtos a categorias", language: "Idioma", ask: "Títulos, um por linha",
    hint: "Com um título vê-se que palavras decidiram; vários podem ser baixados como tabela.",
    answer: "Buscar categorias",
    category: "Categoria", score: "Pontuação", title: "Título", word: "Palavra", mean: "média das duas",
    words: "Que palavras decidiram", explained: "Quanto cai a pontuação da melhor categoria sem a palavra.",
    download: "Baixar como CSV", empty: "Escreva primeiro um título.", failed: "Isto não funcionou:",
    busy: (done, all) => `Buscando … ${done} de ${all}`,
    done: (all) => (all === 1 ? "1 título respondido" : `${all} títulos respondidos`),
    reasons: {
      "no Latin letter or digit": "Sem categoria: o título não tem letras latinas nem algarismos.",
      "no known word": "Sem categoria: as redes não conhecem nenhuma palavra do título.",
    },
    shown: (count) => `São mostrados os primeiros ${count}; o arquivo tem todos.`,
    tooLong: (line, most) => `A linha ${line} tem mais de ${most} caracteres.`,
    model: (networks, categories, words) => `${networks}: ${categories} categorias, ${words} palavras`,
  },
};
// What the application takes at a time, and what a page shows without becoming slow.
const MOST_TITLES = 1000;
const MOST_CHARACTERS = 1000;
const SHOWN_TITLES = 200;

const get = (id) => document.getElementById(id);
let texts = TEXTS.en;
// What is shown and said, in whatever language the page speaks at the time.
let shown = () => {};
let said = () => "";
// The number of the newest question: answers to older ones come too late.
let newest = 0;

/** An element with attributes and children; text is never read as HTML. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const number = (count) => count.toLocaleString(document.documentElement.lang);
const percent = (share) =>
  share.toLocaleString(document.documentElement.lang, { style: "percent", maximumFractionDigits: 1 });
const named = (network) => (network === "mean" ? texts.mean : network.toUpperCase());

/** The categories of one title by one network, with a bar for each score. */
function categories(network, scored) {
  const rows = scored.map(({ category, score }) => make("tr", {},
    make("td", { class: "category" }, ...breakable(category)),
    make("td", { class: "number" }, percent(score)),
    make("td", {}, make("meter", { min: 0, max: 1, value: score, "aria-hidden": "true" }))));
  const head = make("tr", {}, make("th", { scope: "col" }, texts.category),
    make("th", { scope: "col", class: "number" }, texts.score), make("td"));
  return make("table", {}, make("caption", {}, named(network)), make("thead", {}, head), make("tbody", {}, ...rows));
}

/** What the networks say of one title, side by side. */
function compared({ networks, reason }) {
  if (reason) return make("p", {}, texts.reasons[reason] ?? reason);
  const tables = Object.entries(networks).map(([network, scored]) => categories(network, scored));
  return make("div", { class: "networks" }, ...tables);
}

/** A category whose name a narrow column may break after its underscores. */
const breakable = (category) => category.split(/(?<=_)/).flatMap((part) => [part, make("wbr")]);

/** A cell with what a word weighs, as a number and as a bar. */
function weight(share) {
  const cell = make("td", { class: share < 0 ? "number weight against" : "number weight" }, percent(share));
  cell.style.setProperty("--share", `${Math.min(100, Math.abs(100 * share))}%`);
  return cell;
}

/** What each word of a title weighs, by every network. */
function weighed({ words, networks: weights }) {
  const networks = Object.keys(weights);
  const head = make("tr", {}, make("th", { scope: "col" }, texts.word),
    ...networks.map((network) => make("th", { scope: "col", class: "number" }, named(network))));
  const rows = words.map((word, place) => make("tr", {}, make("th", { scope: "row" }, word),
    ...networks.map((network) => weight(weights[network][place]))));
  return make("section", {}, make("h2", {}, texts.words), make("p", {}, texts.explained),
    make("table", { class: "even" }, make("thead", {}, head), make("tbody", {}, ...rows)));
}

/** A row a title, with the best category of every network. */
function table(predictions) {
  const networks = Object.keys(predictions[0].networks);
  const head = make("tr", {}, make("th", { scope: "col" }, texts.title),
    ...networks.flatMap((network) => [
      make("th", { scope: "col" }, named(network)),
      make("th", { scope: "col", class: "number" }, texts.score)]));
  const rows = predictions.slice(0, SHOWN_TITLES).map(({ title, networks: said, reason }) => make("tr", {},
    make("th", { scope: "row" }, title),
    ...(reason
      ? [make("td", { colspan: 2 * networks.length }, texts.reasons[reason] ?? reason)]
      : networks.flatMap((network) => [
        make("td", { class: "category" }, ...breakable(said[network][0].category)),
        make("td", { class: "number" }, percent(said[network][0].score))]))));
  const caption = predictions.length > SHOWN_TITLES ? texts.shown(SHOWN_TITLES) : "";
  const all = make("table", {}, make("caption", {}, caption),
    make("thead", {}, head), make("tbody", {}, ...rows));
  return make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": texts.heading }, all);
}

/** The same as CSV, every field quoted. */
function csv(predictions) {
  const networks = Object.keys(predictions[0].networks);
  const head = ["title", ...networks.flatMap((network) => [network, `${network}_score`]), "reason"];
  const rows = predictions.map(({ title, networks: said, reason }) =>
    [title, ...networks.flatMap((network) => [said[network][0]?.category ?? "", said[network][0]?.score ?? ""]),
      reason ?? ""]);
  const quoted = (field) => `"${String(field).replaceAll('"', '""')}"`;
  return [head, ...rows].map((row) => `${row.map(quoted).join(",")}\r\n`).join("");
}

function download(predictions) {
  const link = make("a", { href: "#", download: "categories.csv" }, texts.download);
  link.addEventListener("click", () => {
    URL.revokeObjectURL(link.href);
    // Excel takes a file without the mark at its beginning for another encoding.
    link.href = URL.createObjectURL(new Blob(["\ufeff", csv(predictions)], { type: "text/csv" }));
  });
  return make("p", {}, link);
}

async function answer(event) {
  event.preventDefault();
  const lines = get("titles").value.split("\n").map((line) => line.trim());
  const titles = lines.filter(Boolean);
  // Characters as Python counts them.
  const long = lines.findIndex((line) => [...line].length > MOST_CHARACTERS);
  const question = ++newest;
  const isWanted = () => question === newest;
  show(() => []);
  if (!titles.length) return say(() => texts.empty);
  if (long >= 0) return say(() => texts.tooLong(long + 1, number(MOST_CHARACTERS)));
  try {
    const alone = titles.length === 1, predictions = [];
    for (let first = 0; first < titles.length; first += MOST_TITLES) {
      say(() => texts.busy(first, titles.length));
      const asked = { titles: titles.slice(first, first + MOST_TITLES), top: alone ? 5 : 1 };
      predictions.push(...(await ask("predict", asked, isWanted)).predictions);
      if (!isWanted()) return;
    }
    const isKnown = alone && !predictions[0].reason;
    const weights = isKnown ? await ask("explain", { title: titles[0] }, isWanted) : null;
    if (!isWanted()) return;
    show(() => (alone
      ? [compared(predictions[0]), ...(isKnown ? [weighed(weights)] : [])]
      : [download(predictions), table(predictions)]));
    say(() => texts.done(titles.length));
  } catch (error) {
    if (isWanted()) say(() => `${texts.failed} ${error.message}`);
  }
}

function show(elements) {
  shown = () => get("answer").replaceChildren(...elements());
  shown();
}

function say(line) {
  said = () => { get("status").textContent = line(); };
  said();
}

let model = null;
function speak(language) {
  texts = TEXTS[language];
  document.documentElement.lang = get("language").value = language;
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = texts[element.dataset.text];
  document.title = texts.heading;
  if (model) {
    const { networks, categories, words } = model;
    get("model").textContent = texts.model(networks.join(", "), number(categories.length), number(words));
  }
  shown();
  said();
}

get("language").addEventListener("change", (event) => speak(event.target.value));
get("question").addEventListener("submit", answer);
speak(navigator.languages.map((language) => language.slice(0, 2)).find((language) => language in TEXTS) ?? "en");
try {
  model = await ask("model");
  speak(document.documentElement.lang);
} catch (error) {
  say(() => `${texts.failed} ${error.message}`);
}
