# The API: Python, the packages of docker/api.lock, and app/. The build context is the checkout: docker compose build api
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
# Compiled now, because the container is read-only and would compile again at each start.
RUN python -m compileall -q app shared
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
# A number, so that an orchestrator can verify that the user is not root. No account is needed.
USER 10001:10001
EXPOSE 8000
CMD ["python", "-m", "app", "--host", "0.0.0.0"]
