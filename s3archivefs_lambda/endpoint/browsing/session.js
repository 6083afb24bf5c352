
// A session: requests are signed here, by AWS Signature Version 4. The secret becomes a key that
// signs, and that no script can read. It is kept in this page alone, and never sent.
{
  const main = document.getElementById("main");
  const form = document.getElementById("sign-in");
  const signOut = document.getElementById("sign-out");
  const HMAC = { name: "HMAC", hash: "SHA-256" };
  const DOWNLOAD_SECONDS = 900;
  const encode = (text) => new TextEncoder().encode(text);
  const hex = (bytes) => Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
  let session = null; // { id, key, region }
  let loads = 0;

  // ---- Signatures -------------------------------------------------------------------------------

  const importKey = (bytes) => crypto.subtle.importKey("raw", bytes, HMAC, false, ["sign"]);
  const sign = (key, text) => crypto.subtle.sign("HMAC", key, encode(text));
  const escaped = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (each) => "%" + each.charCodeAt(0).toString(16).toUpperCase());

  function canonicalPath(path) {
    return path.replace(/%([0-9A-Fa-f]{2})|[^A-Za-z0-9\-._~/]/g, (found, digits) => {
      const byte = digits ? parseInt(digits, 16) : found.charCodeAt(0);
      const character = String.fromCharCode(byte);
      return /[A-Za-z0-9\-._~/]/.test(character) ? character : "%" + byte.toString(16).toUpperCase().padStart(2, "0");
    });
  }

  function canonicalQuery(parameters) {
    return parameters.map(([name, value]) => `${escaped(name)}=${escaped(value)}`).sort().join("&");
  }

  async function signature(url, query, headers, time, scope) {
    const names = Object.keys(headers);
    const lines = names.map((name) => `${name}:${headers[name]}\n`).join("");
    const request = ["GET", canonicalPath(url.pathname), query, lines, names.join(";"), "UNSIGNED-PAYLOAD"].join("\n");
    const digest = hex(await crypto.subtle.digest("SHA-256", encode(request)));
    let key = session.key;
    for (const part of scope) key = await importKey(await sign(key, part));
    return hex(await sign(key, ["AWS4-HMAC-SHA256", time, scope.join("/"), digest].join("\n")));
  }

  function now() {
    const time = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
    return [time, [time.slice(0, 8), session.region, "s3", "aws4_request"]];
  }

  async function signedHeaders(url) {
    const [time, scope] = now();
    const headers = { host: url.host, "x-amz-content-sha256": "UNSIGNED-PAYLOAD", "x-amz-date": time };
    const signed = await signature(url, canonicalQuery([...url.searchParams]), headers, time, scope);
    const names = Object.keys(headers).join(";");
    delete headers.host; // which the browser sends
    const credential = `${session.id}/${scope.join("/")}`;
    headers.authorization = `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${names}, Signature=${signed}`;
    return headers;
  }

  async function presigned(url) {
    const [time, scope] = now();
    const query = canonicalQuery([
      ["X-Amz-Algorithm", "AWS4-HMAC-SHA256"],
      ["X-Amz-Credential", `${session.id}/${scope.join("/")}`],
      ["X-Amz-Date", time],
      ["X-Amz-Expires", String(DOWNLOAD_SECONDS)],
      ["X-Amz-SignedHeaders", "host"],
    ]);
    const signed = await signature(url, query, { host: url.host }, time, scope);
    return `${url.origin}${url.pathname}?${query}&X-Amz-Signature=${signed}`;
  }

  // ---- Pages ------------------------------------------------------------------------------------

  async function load(url) {
    const load = ++loads;
    main.setAttribute("aria-busy", "true");
    try {
      const headers = { ...(await signedHeaders(url)), accept: "text/html" };
      const response = await fetch(url, { headers, cache: "no-store", redirect: "error" });
      const text = await response.text();
      if (load !== loads) return false;
      if (!response.headers.get("content-type").startsWith("text/html")) throw new Error(refusalIn(text));
      await show(new DOMParser().parseFromString(text, "text/html"));
      return true;
    } finally {
      if (load === loads) main.removeAttribute("aria-busy");
    }
  }

  async function show(page) {
    for (const picture of page.querySelectorAll("img[data-src]")) {
      picture.src = await presigned(new URL(picture.dataset.src, location.origin));
    }
    document.title = page.title;
    main.replaceChildren(...page.getElementById("main").childNodes);
    enhance(main);
    main.querySelector("h1").focus();
  }

  function refusalIn(text) {
    const page = new DOMParser().parseFromString(text, "application/xml");
    const told = (name) => page.querySelector(name)?.textContent ?? "";
    return `${told("Code")}: ${told("Message")}`;
  }

  function tell(error) {
    let alert = main.querySelector("[role=alert]");
    if (!alert) {
      alert = document.createElement("p");
      alert.setAttribute("role", "alert");
      main.prepend(alert);
    }
    alert.textContent = error.message;
  }

  async function go(url) {
    try {
      if (await load(url)) {
        history.pushState(null, "", url);
        scrollTo(0, 0);
      }
    } catch (error) {
      tell(error);
    }
  }

  document.addEventListener("click", async (event) => {
    const link = event.target.closest("a[href]");
    const isPlain = event.button === 0 && !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
    if (!session || !link || !isPlain || link.getAttribute("href").startsWith("#")) return;
    event.preventDefault();
    const url = new URL(link.href);
    if (!link.hasAttribute("download")) {
      go(url);
      return;
    }
    const saved = document.createElement("a");
    saved.href = await presigned(url);
    saved.download = "";
    saved.click();
  });

  main.addEventListener("submit", (event) => {
    event.preventDefault();
    if (event.target === form) {
      signIn();
    } else {
      const url = new URL(event.target.action);
      url.search = new URLSearchParams(new FormData(event.target));
      go(url);
    }
  });

  addEventListener("popstate", () => {
    if (session) load(new URL(location.href)).catch(tell);
  });

  // ---- Signing in and out -----------------------------------------------------------------------

  async function signIn() {
    const id = document.getElementById("access-key");
    const secret = document.getElementById("secret");
    const alert = document.getElementById("refusal");
    alert.textContent = "";
    try {
      if (!window.isSecureContext) throw new Error("Browsers sign over HTTPS only: ask for this page with https://.");
      const key = await importKey(encode("AWS4" + secret.value));
      session = { id: id.value.trim(), key, region: form.dataset.region };
      await load(new URL(location.href));
      secret.value = "";
      signOut.hidden = false;
    } catch (error) {
      session = null;
      alert.textContent = error.message;
    }
  }

  signOut.addEventListener("click", () => location.reload());
}
