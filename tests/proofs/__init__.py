"""Long proofs of what the pipeline promises, on a real Postgres and a real API: `make prove NAME`.

Each module is one proof, and has
    stage(folder)      a context: the servers that all its trials share
    keys(stage)        the trials of the full size
    trial(stage, *key) one trial's Result; its `faults` are empty when all was as it has to be
    table(results)     what is printed
    short(results)     what the full size lacks, beyond the trials' own faults
`tests/test_proofs.py` runs the same trials at a small size.
"""
