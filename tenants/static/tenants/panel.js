// Copy buttons: [data-copy] puts its text on the clipboard and says so for a moment. Where the
// browser keeps the clipboard to itself (plain HTTP), the text beside the button is selected.
const select = (button) => {
  const text = button.parentElement.querySelector("code");
  if (!text) return "Select it by hand";
  getSelection().selectAllChildren(text);
  return "Selected: press Ctrl+C";
};

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button || button.dataset.label) return;
  button.dataset.label = button.textContent;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
  } catch {
    button.textContent = select(button);
  }
  setTimeout(() => {
    button.textContent = button.dataset.label;
    delete button.dataset.label;
  }, 1500);
});

// What scrolls by itself is a region; several on one page are told apart by their names.
const scrolling = [["#nav-sidebar-apps", "Pages"], ["#changelist-filter *", "Filters"]];
const nameOf = (place) => {
  const [, name] = scrolling.find(([selector]) => place?.matches(selector)) ?? [];
  return name ?? place?.closest("[data-inline-type]")?.querySelector("h2")?.textContent.trim() ?? "Rows";
};

addEventListener("load", () => {
  for (const region of document.querySelectorAll(".simplebar-content-wrapper")) {
    region.setAttribute("aria-label", nameOf(region.closest("[data-simplebar]")));
  }
  for (const head of document.querySelectorAll(".formset-wrapper thead th:last-child")) {
    if (head.textContent.trim()) continue;
    const unseen = document.createElement("span");
    unseen.className = "panel-unseen";
    unseen.textContent = "Delete";
    head.append(unseen);
  }
});
