// Calls every operation by the client that orval has made, generated.ts, and prints what each returned.
// Compiled and executed by proofs/document/generated.py, in a folder with generated.ts and input.json.
import axios from "axios";

import * as api from "./generated.js";
import given from "./input.json" with { type: "json" };

axios.defaults.baseURL = given.url;
axios.defaults.headers.common.Authorization = `Bearer ${given.key}`;

const frequent: api.FrequentCustomer = { ...given.frequent, segment_name: "frequent_segment" };
const recency: api.RecencyCustomer = { ...given.recency, segment_name: "recency_segment" };
const unknown: api.FrequentCustomer = { ...given.unknown, segment_name: "frequent_segment" };
const customers: api.Customer[] = [frequent, recency, unknown];
const lines = new Blob(customers.map((each) => `${JSON.stringify(each)}\n`), { type: "application/x-ndjson" });
const { country, run } = given;
const sha256 = async (data: ArrayBuffer) =>
  [...new Uint8Array(await crypto.subtle.digest("SHA-256", data))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

// In Node axios returns what a browser makes a Blob of as a text.
const answers: Blob | string = (await api.getVouchersNdjson(lines, { explain: true })).data;
const file: Blob | string = (await api.getVouchersCsv(new Blob([given.file], { type: "text/csv" }))).data;

const explanation = (await api.getVoucher(recency, { explain: true })).data;
if (!("because" in explanation)) throw new Error("no explanation");
const because: string = explanation.because;
if (!because) throw new Error("no sentence");

const refused = await api.getVoucher(unknown).then(
  () => undefined,
  (error: unknown) => (axios.isAxiosError<api.Problem>(error) ? error.response?.data : undefined),
);

const workbook = await api.getSegmentsXlsx({}, { responseType: "arraybuffer" });

console.log(
  JSON.stringify({
    getVoucher: (await api.getVoucher(frequent)).data,
    "getVoucher explained": explanation,
    "getVoucher of a run": (await api.getVoucher(frequent, { run })).data,
    "getVoucher refused": refused,
    "getSegmentationVoucher explained": (await api.getSegmentationVoucher(recency, { explain: true })).data,
    getVouchers: (await api.getVouchers(customers)).data,
    "getVouchers explained": (await api.getVouchers(customers, { explain: true })).data,
    "getVouchers of a run": (await api.getVouchers(customers, { run })).data,
    "getVouchersNdjson explained": typeof answers === "string" ? answers : await answers.text(),
    getVouchersCsv: typeof file === "string" ? file : await file.text(),
    evaluateVoucherFlag: (await api.evaluateVoucherFlag(given.flag)).data,
    evaluateFlags: (await api.evaluateFlags(given.flag)).data,
    getSegments: (await api.getSegments({ country })).data,
    getSegmentsCsv: (await api.getSegmentsCsv()).data,
    getSegmentsXlsx: await sha256(workbook.data as unknown as ArrayBuffer),
    getCountries: (await api.getCountries()).data,
    getVotes: (await api.getVotes({ country, run })).data,
    getEffects: (await api.getEffects({ country })).data,
    getEffectsCsv: (await api.getEffectsCsv()).data,
    getRules: (await api.getRules()).data,
    "getRules of a run": (await api.getRules({ run })).data,
    getRuns: (await api.getRuns()).data,
    "getRuns before": (await api.getRuns({ limit: 1, before: run })).data,
    getRun: (await api.getRun(run)).data,
    getAssignmentsCsv: (await api.getAssignmentsCsv({ country, run })).data,
    getLiveness: (await api.getLiveness()).data,
    getReadiness: (await api.getReadiness()).data,
    getHealth: (await api.getHealth()).data,
    getMetrics: (await api.getMetrics()).data,
  }),
);
