// The page: asks the application it came from, and nobody else.

const TEXTS = {
  en: {
    heading: "Product titles to categories", language: "Language", ask: "Titles, one a line",
    hint: "One title shows which words decided; several can be downloaded as a table.", answer: "Find categories",
    category: "Category", score: "Score", title: "Title", word: "Word", weight: "Weight", mean: "mean of both",
    words: "Which words decided", explained: "How much the score of the best category falls without the word.",
    download: "Download as CSV", busy: "Looking …", done: (count) => `${count} titles answered`,
    failed: "This did not work:", empty: "Write a title first.", model: (m) => `${m.networks.join(", ")}: ${m.categories} categories, ${m.words} words`,
  },
  es: {
    heading: "De títulos de productos a categorías", language: "Idioma", ask: "Títulos, uno por línea",
    hint: "Con un título se ve qué palabras decidieron; varios se pueden descargar como tabla.", answer: "Buscar categorías",
    category: "Categoría", score: "Puntaje", title: "Título", word: "Palabra", weight: "Peso", mean: "media de ambas",
    words: "Qué palabras decidieron", explained: "Cuánto baja el puntaje de la mejor categoría sin la palabra.",
    download: "Descargar como CSV", busy: "Buscando …", done: (count) => `${count} títulos respondidos`,
    failed: "Esto no funcionó:", empty: "Escriba primero un título.", model: (m) => `${m.networks.join(", ")}: ${m.categories} categorías, ${m.words} palabras`,
  },
  pt: {
    heading: "De títulos de produtos a categorias", language: "Idioma", ask: "Títulos, um por linha",
    hint: "Com um título vê-se que palavras decidiram; vários podem ser baixados como tabela.", answer: "Buscar categorias",
    category: "Categoria", score: "Pontuação", title: "Título", word: "Palavra", weight: "Peso", mean: "média das duas",
    words: "Que palavras decidiram", explained: "Quanto cai a pontuação da melhor categoria sem a palavra.",
    download: "Baixar como CSV", busy: "Buscando …", done: (count) => `${count} títulos respondidos`,
    failed: "Isto não funcionou:", empty: "Escreva primeiro um título.", model: (m) => `${m.networks.join(", ")}: ${m.categories} categorias, ${m.words} palavras`,
  },
};
const MOST_TITLES = 1000;

const get = (id) => document.getElementById(id);
let texts = TEXTS.en;
let shown = () => {};

/** An element with attributes and children; text is never read as HTML. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

async function ask(path, body) {
  const response = await fetch(path, body && {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(typeof answer.detail === "string" ? answer.detail : answer.detail[0].msg);
  return answer;
}

const percent = (share) => new Intl.NumberFormat(document.documentElement.lang, { style: "percent", maximumFractionDigits: 1 }).format(share);
const named = (network) => (network === "mean" ? texts.mean : network.toUpperCase());

/** The categories of one title by one network, with a bar for each score. */
function categories(network, scored) {
  const rows = scored.map(({ category, score }) => make("tr", {},
    make("td", { class: "category" }, category),
    make("td", { class: "number" }, percent(score)),
    make("td", {}, make("meter", { min: 0, max: 1, value: score, "aria-hidden": "true" }))));
  const head = make("tr", {}, make("th", { scope: "col" }, texts.category), make("th", { scope: "col", class: "number" }, texts.score), make("td"));
  return make("table", {}, make("caption", {}, named(network)), make("thead", {}, head), make("tbody", {}, ...rows));
}

/** What each word of a title weighs, by every network. */
function weighed({ words, weights }) {
  const networks = Object.keys(weights).filter((network) => network !== "mean");
  const head = make("tr", {}, make("th", { scope: "col" }, texts.word),
    ...networks.map((network) => make("th", { scope: "col", class: "number" }, named(network))));
  const rows = words.map((word, place) => make("tr", {}, make("th", { scope: "row" }, word),
    ...networks.map((network) => make("td", { class: "number" }, percent(weights[network][place])))));
  return make("section", {}, make("h2", {}, texts.words), make("p", {}, texts.explained),
    make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
}

/** A row a title, with the best category of every network. */
function table(predictions) {
  const networks = Object.keys(predictions[0].networks);
  const head = make("tr", {}, make("th", { scope: "col" }, texts.title),
    ...networks.flatMap((network) => [make("th", { scope: "col" }, named(network)), make("th", { scope: "col", class: "number" }, texts.score)]));
  const rows = predictions.map(({ title, networks: said }) => make("tr", {}, make("th", { scope: "row" }, title),
    ...networks.flatMap((network) => [
      make("td", { class: "category" }, said[network][0].category),
      make("td", { class: "number" }, percent(said[network][0].score))])));
  return make("div", { class: "scroll", tabindex: 0 }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
}

/** The same as CSV, every field quoted. */
function csv(predictions) {
  const networks = Object.keys(predictions[0].networks);
  const rows = predictions.map(({ title, networks: said }) => [title, ...networks.flatMap((network) => [said[network][0].category, said[network][0].score])]);
  const head = ["title", ...networks.flatMap((network) => [network, `${network}_score`])];
  return [head, ...rows].map((row) => row.map((field) => `"${String(field).replaceAll('"', '""')}"`).join(",")).join("\r\n") + "\r\n";
}

function download(predictions) {
  const address = URL.createObjectURL(new Blob([csv(predictions)], { type: "text/csv" }));
  const link = make("a", { href: address, download: "categories.csv" }, texts.download);
  return make("p", {}, link);
}

async function answer(event) {
  event.preventDefault();
  const titles = get("titles").value.split("\n").map((title) => title.trim()).filter(Boolean);
  if (!titles.length) return say(texts.empty);
  say(texts.busy);
  try {
    const predictions = [];
    for (let first = 0; first < titles.length; first += MOST_TITLES) {
      predictions.push(...(await ask("predict", { titles: titles.slice(first, first + MOST_TITLES) })).predictions);
    }
    const words = titles.length === 1 ? await ask("explain", { title: titles[0] }) : null;
    shown = () => get("answer").replaceChildren(...(words
      ? [make("div", { class: "networks" }, ...Object.entries(predictions[0].networks).map(([network, scored]) => categories(network, scored))), weighed(words)]
      : [download(predictions), table(predictions)]));
    shown();
    say(texts.done(titles.length));
  } catch (error) {
    say(`${texts.failed} ${error.message}`);
  }
}

function say(line) { get("status").textContent = line; }

let model = null;
function speak(language) {
  texts = TEXTS[language];
  document.documentElement.lang = get("language").value = language;
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = texts[element.dataset.text];
  document.title = texts.heading;
  if (model) get("model").textContent = texts.model(model);
  shown();
}

get("language").addEventListener("change", (event) => speak(event.target.value));
get("question").addEventListener("submit", answer);
speak(navigator.languages.map((language) => language.slice(0, 2)).find((language) => language in TEXTS) ?? "en");
ask("model").then((found) => { model = found; speak(document.documentElement.lang); }, (error) => say(`${texts.failed} ${error.message}`));
