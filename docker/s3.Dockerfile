# The S3 stand-in: moto's server and the synthetic sample. Not for production.
FROM python:3.12-slim AS packages
COPY docker/s3.lock /
RUN python -m venv --without-pip /venv \
    && pip --python /venv/bin/python install --no-cache-dir --no-deps --only-binary=:all: --require-hashes -r /s3.lock
WORKDIR /opt/voucher
COPY shared shared
COPY pipeline pipeline
COPY sample sample
# The packages that create the sample are not needed to serve it.
RUN /venv/bin/python -m sample /history.parquet \
    && pip --python /venv/bin/python uninstall --yes numpy pyarrow

FROM python:3.12-slim
COPY --from=packages /venv /venv
COPY --from=packages /history.parquet /opt/voucher/
COPY docker/s3.py /opt/voucher/
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 9000
CMD ["python", "/opt/voucher/s3.py"]
