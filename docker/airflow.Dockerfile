# Airflow with what Voucher_Select needs: docker/airflow.lock, and pipeline/, over which docker-compose.yml mounts yours.
# The slim image has Airflow and none of the 90 providers, of which the DAG needs none.
FROM apache/airflow:slim-3.3.2-python3.12
COPY docker/airflow.lock /opt/voucher/
# The image comes without bytecode. Where nothing can be written, each command would compile Airflow anew, for 10 s.
RUN pip install --no-cache-dir --no-deps --only-binary=:all: --require-hashes -r /opt/voucher/airflow.lock \
    && python -m compileall -q -j 0 /home/airflow/.local/lib
COPY docker/airflow_setup.py docker/healthy.py /opt/voucher/
COPY shared /opt/voucher/shared
COPY pipeline /opt/voucher/pipeline
# The order of the containers is docker-compose.yml's: the entry point need not look for the database, which takes 5 s.
ENV PYTHONPATH=/opt/voucher CONNECTION_CHECK_MAX_COUNT=0
