# The API: Python, the packages of docker/api.lock, and app/. Built from the folder above: docker compose build api
FROM python:3.12-slim AS packages
COPY docker/api.lock /
RUN python -m venv --without-pip /venv \
    && pip --python /venv/bin/python install --no-cache-dir --no-deps --only-binary=:all: --require-hashes -r /api.lock

FROM python:3.12-slim
COPY --from=packages /venv /venv
WORKDIR /opt/voucher
COPY setup.cfg ./
COPY shared shared
COPY app app
# Compiled now: nothing can be written where it runs, and each start would compile anew.
RUN python -m compileall -q app shared
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
# A number, so that an orchestrator sees that it isn't root; an account of that name is not needed.
USER 10001:10001
EXPOSE 8000
CMD ["python", "-m", "app", "--host", "0.0.0.0"]
