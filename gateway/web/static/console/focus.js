"use strict";

// Whoever has sent the form wants to see the answer, with a keyboard and a screen reader too.
document.querySelector("[data-focus]")?.focus();
