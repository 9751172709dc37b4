"""Long proofs of what the pipeline and the service promise, on a real Postgres and a real API: `make prove NAME`.

Each proof is a module with
    fixtures(folder)      a context: the servers that all its trials share
    keys(fixtures)        the trials of the full size
    trial(fixtures, *key) the Result of one trial, with empty `faults` if all was right
    table(results)        what is printed
    short(results)        what is wrong with the whole, beyond the faults of single trials
The tests run the same trials at a small size.
"""
