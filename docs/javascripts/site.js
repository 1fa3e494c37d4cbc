// What the theme makes of a page, for those who read it by keyboard or by ear: a table that scrolls can be scrolled by
// keys, and a button that copies is no part of the page by itself.
document$.subscribe(() => setTimeout(() => {
  for (const table of document.querySelectorAll(".md-typeset__scrollwrap")) table.tabIndex = 0;
  for (const nav of document.querySelectorAll(".md-code__nav")) nav.setAttribute("role", "none");
}));
