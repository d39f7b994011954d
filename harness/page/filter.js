const words = document.getElementById("words");
const severity = document.getElementById("severity");
const boxes = [...document.querySelectorAll("nav input[name=verdict]")];
const articles = [...document.querySelectorAll("article")];
const rows = [...document.querySelectorAll(".matrix tbody tr")];

function filter() {
  const wanted = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
  const asked = words.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  let left = 0;
  articles.forEach((article, number) => {
    const text = article.querySelector("h2").textContent.toLowerCase() + article.querySelector("p").textContent.toLowerCase();
    const shown = article.dataset.verdicts.split(" ").some((verdict) => wanted.has(verdict))
      && (!severity.value || article.dataset.severity === severity.value)
      && asked.every((word) => text.includes(word));
    article.hidden = rows[number].hidden = !shown;
    left += shown;
  });
  document.getElementById("none").hidden = left > 0;
}

function open_target() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target && target.querySelectorAll("details").length === 1) target.querySelector("details").open = true;
}

words.addEventListener("input", filter);
severity.addEventListener("change", filter);
boxes.forEach((box) => box.addEventListener("change", filter));
addEventListener("hashchange", open_target);
open_target();
filter();
