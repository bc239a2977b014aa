// Ctrl+K (Cmd+K) goes to the search box from wherever one is, with what it holds ready to be typed
// over; Escape goes back to where one was.
(() => {
  let origin = null;

  function isShortcut(event) {
    const isAlone = !event.altKey && !event.shiftKey;
    return isAlone && (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k";
  }

  document.addEventListener("keydown", (event) => {
    const box = document.getElementById("panel-search");
    if (!box) return;
    const isThere = document.activeElement === box;
    if (isShortcut(event)) {
      event.preventDefault();
      if (!isThere) origin = document.activeElement;
      box.focus();
      box.select();
    } else if (isThere && event.key === "Escape") {
      event.preventDefault();
      box.blur();
      if (origin) origin.focus();
    }
  });
})();
