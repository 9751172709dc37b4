# Airflow with the packages of docker/airflow.lock, and pipeline/.
# The slim image has none of Airflow's 90 providers, because the DAG needs none.
FROM apache/airflow:slim-3.3.2-python3.12
COPY docker/airflow.lock /opt/voucher/
# The base image has no bytecode. In a read-only container, each command would compile Airflow again, which takes 10 s.
RUN pip install --no-cache-dir --no-deps --only-binary=:all: --require-hashes -r /opt/voucher/airflow.lock \
    && python -m compileall -q -j 0 /home/airflow/.local/lib
COPY docker/airflow_setup.py docker/check_settings.py docker/healthy.py /opt/voucher/
COPY shared /opt/voucher/shared
COPY pipeline /opt/voucher/pipeline
# docker-compose.yml mounts the checkout's pipeline/ over /opt/rules, only for these two files: the folder is not on
# Python's path. If a file itself were mounted, the container would keep the old one when git or an editor replaces it.
USER 0
RUN mkdir /opt/rules && mv /opt/voucher/pipeline/rules.toml /opt/voucher/pipeline/segments.toml /opt/rules/ \
    && ln -s /opt/rules/rules.toml /opt/rules/segments.toml /opt/voucher/pipeline/
USER 50000
# docker-compose.yml starts the containers in order, so the entry point need not check the database, which takes 5 s.
ENV PYTHONPATH=/opt/voucher CONNECTION_CHECK_MAX_COUNT=0
