# Jupyter with the pipeline's engine. docker-compose.yml mounts the checkout's notebooks/, rules.toml and segments.toml.
FROM python:3.12-slim
COPY docker/notebook.lock /
RUN python -m venv --without-pip /venv \
    # causaldata has no wheel, and nothing to compile
    && pip --python /venv/bin/python install --no-cache-dir --no-deps --only-binary=:all: --no-binary=causaldata \
        --require-hashes -r /notebook.lock
WORKDIR /opt/voucher
COPY docker/notebook.sh /
COPY sample sample
COPY shared shared
COPY pipeline pipeline
COPY notebooks notebooks
ENV PATH=/venv/bin:$PATH PYTHONPATH=/opt/voucher PYTHONUNBUFFERED=1 HOME=/tmp
USER 1000:1000
EXPOSE 8888
CMD ["sh", "/notebook.sh"]
