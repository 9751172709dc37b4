# Airflow with what Voucher_Select needs: docker/airflow.lock, and pipeline/.
# The slim image has Airflow and none of the 90 providers, of which the DAG needs none.
FROM apache/airflow:slim-3.3.2-python3.12
COPY docker/airflow.lock /opt/voucher/
# The image comes without bytecode. Where nothing can be written, each command would compile Airflow anew, for 10 s.
RUN pip install --no-cache-dir --no-deps --only-binary=:all: --require-hashes -r /opt/voucher/airflow.lock \
    && python -m compileall -q -j 0 /home/airflow/.local/lib
COPY docker/airflow_setup.py docker/check_settings.py docker/healthy.py /opt/voucher/
COPY shared /opt/voucher/shared
COPY pipeline /opt/voucher/pipeline
# docker-compose.yml mounts the checkout's pipeline/ over /opt/rules, for rules.toml alone: nothing there is on Python's path.
# A mount of the file itself would go on showing the old one after git or an editor has replaced it.
USER 0
RUN mkdir /opt/rules && mv /opt/voucher/pipeline/rules.toml /opt/rules/ \
    && ln -s /opt/rules/rules.toml /opt/voucher/pipeline/rules.toml
USER 50000
# The order of the containers is docker-compose.yml's: the entry point need not look for the database, which takes 5 s.
ENV PYTHONPATH=/opt/voucher CONNECTION_CHECK_MAX_COUNT=0
