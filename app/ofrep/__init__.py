"""The voucher as a flag of OpenFeature's Remote Evaluation Protocol (OFREP), for its SDKs in every language."""
