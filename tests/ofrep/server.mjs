// Evaluates the flag by OpenFeature's SDK for servers. Reads JSON from stdin: the service's address, a key, and the
// contexts. Prints what the SDK returns for each. Executed by tests/app/ofrep/test_javascript.py.
import { readFileSync } from "node:fs";

import { OFREPProvider } from "@openfeature/ofrep-provider";
import { OpenFeature } from "@openfeature/server-sdk";

const { url, key, contexts } = JSON.parse(readFileSync(0));
const headers = [["Authorization", `Bearer ${key}`]];
await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl: url, headers }));
const client = OpenFeature.getClient();

const evaluations = {};
for (const [name, context] of Object.entries(contexts)) {
  evaluations[name] = await client.getNumberDetails("voucher", -1, context);
}
const [first] = Object.values(contexts);
evaluations["another flag"] = await client.getNumberDetails("discount", -1, first);
evaluations["another type"] = await client.getStringDetails("voucher", "none", first);
console.log(JSON.stringify(evaluations));
