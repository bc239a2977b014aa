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
