// Not every system resolves *.localhost, as browsers do.
const dns = require("node:dns");
const lookup = dns.lookup;
dns.lookup = (host, ...others) => lookup(host.endsWith(".localhost") ? "localhost" : host, ...others);
