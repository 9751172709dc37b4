// Calls every operation by openapi-fetch with the types that openapi-typescript has made, generated.ts, and prints what
// each returned. Compiled and executed by proofs/document/generated.py, in a folder with generated.ts and input.json.
import createClient from "openapi-fetch";

import type { components, paths } from "./generated.js";
import given from "./input.json" with { type: "json" };

type Customer = components["schemas"]["Customer"];

const api = createClient<paths>({ baseUrl: given.url, headers: { Authorization: `Bearer ${given.key}` } });
const frequent: Customer = { ...given.frequent, segment_name: "frequent_segment" };
const recency: Customer = { ...given.recency, segment_name: "recency_segment" };
const unknown: Customer = { ...given.unknown, segment_name: "frequent_segment" };
const customers = [frequent, recency, unknown];
const lines = customers.map((each) => `${JSON.stringify(each)}\n`).join("");
const { country, run } = given;
const explain = { query: { explain: true } };
const text = { parseAs: "text" } as const;
const sha256 = async (data: ArrayBuffer) =>
  [...new Uint8Array(await crypto.subtle.digest("SHA-256", data))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

const explanation = (await api.POST("/voucher", { body: recency, params: explain })).data;
if (!explanation || !("because" in explanation)) throw new Error("no explanation");
const because: string = explanation.because;
if (!because) throw new Error("no sentence");

const workbook = await api.GET("/segments.xlsx", { parseAs: "arrayBuffer" });

console.log(
  JSON.stringify({
    getVoucher: (await api.POST("/voucher", { body: frequent })).data,
    "getVoucher explained": explanation,
    "getVoucher of a run": (await api.POST("/voucher", { body: frequent, params: { query: { run } } })).data,
    "getVoucher refused": (await api.POST("/voucher", { body: unknown })).error,
    "getSegmentationVoucher explained": (await api.POST("/segmentation-voucher/", { body: recency, params: explain })).data,
    getVouchers: (await api.POST("/vouchers", { body: customers })).data,
    "getVouchers explained": (await api.POST("/vouchers", { body: customers, params: explain })).data,
    "getVouchers of a run": (await api.POST("/vouchers", { body: customers, params: { query: { run } } })).data,
    "getVouchersNdjson explained": (
      await api.POST("/vouchers.ndjson", {
        body: lines,
        params: explain,
        headers: { "Content-Type": "application/x-ndjson" },
        bodySerializer: (body) => body,
        ...text,
      })
    ).data,
    getVouchersCsv: (
      await api.POST("/vouchers.csv", {
        body: given.file,
        headers: { "Content-Type": "text/csv" },
        bodySerializer: (body) => body,
        ...text,
      })
    ).data,
    evaluateVoucherFlag: (await api.POST("/ofrep/v1/evaluate/flags/voucher", { body: given.flag })).data,
    evaluateFlags: (await api.POST("/ofrep/v1/evaluate/flags", { body: given.flag })).data,
    getSegments: (await api.GET("/segments", { params: { query: { country } } })).data,
    getSegmentsCsv: (await api.GET("/segments.csv", text)).data,
    getSegmentsXlsx: await sha256(workbook.data!),
    getCountries: (await api.GET("/countries")).data,
    getVotes: (await api.GET("/votes", { params: { query: { country, run } } })).data,
    getEffects: (await api.GET("/effects", { params: { query: { country } } })).data,
    getEffectsCsv: (await api.GET("/effects.csv", text)).data,
    getRules: (await api.GET("/rules")).data,
    "getRules of a run": (await api.GET("/rules", { params: { query: { run } } })).data,
    getRuns: (await api.GET("/runs")).data,
    "getRuns before": (await api.GET("/runs", { params: { query: { limit: 1, before: run } } })).data,
    getRun: (await api.GET("/runs/{run_id}", { params: { path: { run_id: run } } })).data,
    getAssignmentsCsv: (await api.GET("/assignments.csv", { params: { query: { country, run } }, ...text })).data,
    getLiveness: (await api.GET("/livez")).data,
    getReadiness: (await api.GET("/readyz")).data,
    getHealth: (await api.GET("/health")).data,
    getMetrics: (await api.GET("/metrics", text)).data,
  }),
);
