"use strict";

// Before the page is shown: the theme that was chosen here, if any. Without one it is the system's.
(() => {
  const kept = localStorage.getItem("feature-gateway-theme");
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;

  const isDark = () => {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };

  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const label = () => { button.textContent = isDark() ? "Light" : "Dark"; button.setAttribute("aria-label", `${button.textContent} theme`); };
    button.hidden = false;
    label();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", label);
    button.addEventListener("click", () => {
      const theme = isDark() ? "light" : "dark";
      document.documentElement.dataset.theme = theme;
      localStorage.setItem("feature-gateway-theme", theme);
      label();
      dispatchEvent(new Event("themechange"));
    });
  });
})();
