// overlays/webmail/rootfs/usr/share/roundcube/plugins/postern/postern.js
// The skin's pages change as one works with them: each change is looked at for what a screen reader could not tell.
(function () {
  "use strict";

  function each(selector, change) {
    document.querySelectorAll(selector).forEach(change);
  }

  function named(element, name) {
    if (name && !element.hasAttribute("aria-label")) element.setAttribute("aria-label", name);
  }

  function mend() {
    // Lists of links, not menus: a menu's entries would have to be its own children, and have names.
    each('ul.toolbar > li[role="menuitem"]', (item) => item.removeAttribute("role"));
    // One order for the eye and the tab key.
    each("[tabindex]", (element) => { if (element.tabIndex > 0) element.tabIndex = 0; });
    each("a.disabled:not([aria-disabled])", (link) => link.setAttribute("aria-disabled", "true"));
    each("a.dropdown", (link) => named(link, link.title || (link.previousElementSibling || link.parentElement).title
      || "More"));
    each(".rcpagejumper", (field) => named(field, field.title));
    each(".recipient-input input", (field) => {
      const label = field.closest(".form-group, .row").querySelector("label");
      named(field, label && label.textContent.trim());
    });
    each('table[role="listbox"] > tbody:not([role])', (body) => body.setAttribute("role", "none"));
    each(".multi-input a.reset", (link) => named(link, "Remove"));
    // The calendar says of its field what only another kind of field may say.
    each(".hasDatepicker", (field) => ["aria-expanded", "aria-owns"].forEach((name) => field.removeAttribute(name)));
    // Several fields in a row that has one label, or stands under one heading.
    each("input:not([type=hidden]), select, textarea", (field) => {
      if (field.labels.length || field.title) return;
      const row = field.closest("tr, .form-group, fieldset");
      const label = row && row.querySelector("label, legend, .col-form-label");
      named(field, label && label.textContent.trim());
    });
    each("#composebody", (field) => named(field, field.labels.length ? field.labels[0].textContent : "Message"));
  }

  document.addEventListener("DOMContentLoaded", () => {
    mend();
    let waiting = false;
    new MutationObserver(() => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; mend(); });
    }).observe(document.body, { subtree: true, childList: true, attributes: true, attributeFilter: ["class", "tabindex"] });
  });
})();
