// The search of the site, in place of MkDocs's own. It works from the disk too: a page there may start no worker and fetch no
// file, but it may load scripts, so the index is one (search_index.js, which site.py writes). Nothing is loaded but on search.html.
(function () {
  "use strict";

  var input = document.getElementById("mkdocs-search-query");
  var results = document.getElementById("mkdocs-search-results");
  if (!input || !results) return;

  function load(name, then) {
    var script = document.createElement("script");
    script.src = base_url.replace(/\/?$/, "/search/") + name;
    script.onload = then;
    script.onerror = function () { say("The search cannot load " + name + ": build the site anew, by make site"); };
    document.body.appendChild(script);
  }

  function say(text) {
    results.textContent = "";
    results.appendChild(document.createElement("p")).textContent = text;
  }

  function show(found) {
    results.textContent = "";
    found.forEach(function (page) {
      var article = results.appendChild(document.createElement("article"));
      var link = article.appendChild(document.createElement("h3")).appendChild(document.createElement("a"));
      link.href = base_url.replace(/\/?$/, "/") + page.location;
      link.textContent = page.title;
      article.appendChild(document.createElement("p")).textContent = page.text.slice(0, 200);
    });
  }

  function begin() {
    var pages = {};
    var index = lunr(function () {
      this.field("title", { boost: 10 });
      this.field("text");
      this.ref("location");
      search_index.docs.forEach(function (page) {
        pages[page.location] = page;
        this.add(page);
      }, this);
    });

    function search() {
      var query = input.value.trim();
      var found = [];
      if (query) {
        try {
          found = index.search(query);
        } catch (error) {  // half of a query, as "title:"
          found = index.search(query.replace(/[^\w\s]+/g, " "));
        }
      }
      if (query && !found.length) say(results.getAttribute("data-no-results-text"));
      else show(found.map(function (one) { return pages[one.ref]; }));
    }

    input.addEventListener("input", search);
    input.value = new URLSearchParams(window.location.search).get("q") || "";
    search();
  }

  load("lunr.js", function () { load("search_index.js", begin); });
})();
