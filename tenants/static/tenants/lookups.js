// Look-up fields (select2) say what they are to whoever does not see them: the field's label, what
// is chosen, and what they open.
const labelOf = (select) => {
  const cell = select.closest("td");
  const head = cell && cell.closest("table").querySelectorAll("thead th")[cell.cellIndex];
  const given = select.labels?.[0] ?? head;
  return given?.textContent.replace("*", "").trim() || select.getAttribute("aria-label") || "Choice";
};

const nameField = (container) => {
  const select = container.previousElementSibling;
  const field = container.querySelector("[role=combobox]");
  if (!field || select?.tagName !== "SELECT" || field.dataset.named) return;
  const shown = container.querySelector(".select2-selection__rendered");
  field.dataset.named = labelOf(select);
  field.setAttribute("aria-controls", `select2-${select.id}-results`);
  if (!shown) return;
  shown.removeAttribute("role"); // it is text within the field, not a field
  shown.removeAttribute("aria-readonly");
  field.removeAttribute("aria-labelledby");
  const tell = () => field.setAttribute("aria-label", [field.dataset.named, shown.title].filter(Boolean).join(": "));
  new MutationObserver(tell).observe(shown, { attributes: true, attributeFilter: ["title"] });
  tell();
};

const nameChoices = (container) => {
  const search = container.querySelector(".select2-search__field");
  const id = search?.getAttribute("aria-controls");
  const field = id && document.querySelector(`[role=combobox][aria-controls="${CSS.escape(id)}"]`);
  container.setAttribute("role", "region");
  container.setAttribute("aria-label", "Choices");
  search?.setAttribute("aria-label", `Search ${field?.dataset.named ?? "choices"}`);
};

const nameAll = (place) => {
  for (const container of place.querySelectorAll(".select2-container")) nameField(container);
  const opened = document.querySelector("body > .select2-container--open");
  if (opened && !opened.hasAttribute("role")) nameChoices(opened);
};

addEventListener("load", () => {
  nameAll(document);
  const seen = new MutationObserver((changes) => {
    if (changes.some(({ addedNodes }) => addedNodes.length)) nameAll(document);
  });
  seen.observe(document.body, { childList: true, subtree: true });
});
