/* Runs axe on the page: every rule on everything, but those that ask for colours, three quarters of
   its time, on three texts of each look that no page before this one had. Texts have the same look
   where their colour, size and weight are the same, and so are the backgrounds that they stand on and
   the positioned element that they stand in. In the dark only colours differ, so that only they are
   looked at. */
async ({ known, isInBothThemes }) => {
  const EXAMPLES = 3;
  const options = { resultTypes: ["violations"], preload: false };
  const COLOURS = ["color-contrast", "link-in-text-block"];
  const before = new Set(known);
  const looks = new Map();
  const grounds = new Map();

  function ground(element) {
    if (!element) return "";
    if (!grounds.has(element)) {
      const style = getComputedStyle(element);
      const own = [style.backgroundColor, style.backgroundImage, style.opacity, style.filter];
      const layer = ["absolute", "fixed"].includes(style.position) ? element.className : "";
      grounds.set(element, `${ground(element.parentElement)}/${layer}${own.join()}`);
    }
    return grounds.get(element);
  }

  function text(element) {
    if (element.matches("input, select, textarea")) return element.value || element.placeholder || "";
    const own = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE);
    return own.map((node) => node.data.trim()).join("");
  }

  function look(element) {
    const { color, fontFamily, fontSize, fontWeight, textShadow } = getComputedStyle(element);
    const asked = element.closest("label")?.control ?? element;
    const isOff = asked.matches(":disabled") || Boolean(element.closest("[aria-disabled], [inert]"));
    const isSign = text(element).length === 1; // axe leaves a single character alone
    return [ground(element), color, fontFamily, fontSize, fontWeight, textShadow, isOff, isSign].join("|");
  }

  function isRepeated(element) {
    const key = look(element);
    looks.set(key, (looks.get(key) ?? 0) + 1);
    return before.has(key) || looks.get(key) > EXAMPLES;
  }

  async function run(context, more) {
    return (await axe.run(context, { ...options, ...more })).violations;
  }
  async function colours() {
    grounds.clear();
    const texts = [...document.querySelectorAll("body *")].filter(
      (element) => text(element) && element.checkVisibility(),
    );
    const shown = texts.filter((element) => !isRepeated(element));
    return shown.length ? run({ include: shown }, { runOnly: COLOURS }) : [];
  }
  function switchTheme(from, to) {
    document.documentElement.classList.replace(from, to);
    for (const fading of document.getAnimations()) {
      if (fading instanceof CSSTransition) fading.finish();
    }
  }

  const off = Object.fromEntries(COLOURS.map((name) => [name, { enabled: false }]));
  const found = [...(await run(document, { rules: off })), ...(await colours())];
  if (isInBothThemes) {
    switchTheme("light", "dark");
    found.push(...(await colours()));
    switchTheme("dark", "light");
  }
  return { found, looks: [...looks.keys()] };
}
