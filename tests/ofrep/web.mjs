// Evaluates the flag by OpenFeature's SDK for browsers. Reads JSON from stdin: the service's address, a key, and the
// contexts, which are set one after the other. Prints what the SDK returns for each, and the requests that it sent.
// Executed by tests/app/ofrep/test_javascript.py.
import { readFileSync } from "node:fs";

import { OFREPWebProvider } from "@openfeature/ofrep-web-provider";
import { OpenFeature, ProviderEvents } from "@openfeature/web-sdk";

globalThis.document = { addEventListener() {}, removeEventListener() {} }; // as in a page that is always seen
const { url, key, contexts } = JSON.parse(readFileSync(0));
const requests = [];
const fetchImplementation = async (request, options) => {
  const response = await fetch(request, options);
  requests.push({
    path: new URL(request.url).pathname,
    ifNoneMatch: request.headers.get("If-None-Match"),
    status: response.status,
    etag: response.headers.get("ETag"),
  });
  return response;
};
const provider = new OFREPWebProvider({
  baseUrl: url,
  headers: [["Authorization", `Bearer ${key}`]],
  fetchImplementation,
  pollInterval: 200,
  cacheMode: "disabled",
});
const [first, ...others] = Object.entries(contexts);
await OpenFeature.setContext(first[1]);
await OpenFeature.setProviderAndWait(provider);
const client = OpenFeature.getClient();
let changes = 0;
client.addHandler(ProviderEvents.ConfigurationChanged, () => (changes += 1));

const evaluations = { [first[0]]: client.getNumberDetails("voucher", -1) };
await new Promise((resolve) => setTimeout(resolve, 700)); // some polls
const polls = { requests: [...requests], changes };
for (const [name, context] of others) {
  await OpenFeature.setContext(context);
  evaluations[name] = client.getNumberDetails("voucher", -1);
}
evaluations["another flag"] = client.getNumberDetails("discount", -1);
await OpenFeature.close();
console.log(JSON.stringify({ evaluations, polls }));
