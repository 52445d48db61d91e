# One image for the API, the worker, beat and migrations; the command says which.

FROM python:3.13-slim AS build
WORKDIR /build
RUN python -m venv --without-pip /opt/venv
COPY requirements.txt constraints.txt ./
RUN python -m pip --python /opt/venv/bin/python install \
        --no-cache-dir --disable-pip-version-check --only-binary :all: -r requirements.txt \
 && find /opt/venv -type d -name tests -prune -exec rm -rf {} + \
    # of Arrow, what Parquet files don't need: remote procedures, S3, headers
 && find /opt/venv -path '*/pyarrow/*' \
        \( -name 'libarrow_flight*' -o -name 'libarrow_s3*' -o -name include \) \
        -prune -exec rm -rf {} +

FROM python:3.13-slim
LABEL org.opencontainers.image.title="Deribit price collector" \
      org.opencontainers.image.licenses="MIT"
# nothing is installed into a running container, so it holds no installer
RUN python -m pip uninstall --yes --quiet --root-user-action=ignore pip \
 && groupadd --gid 10001 prices \
 && useradd --uid 10001 --gid prices --no-create-home --shell /usr/sbin/nologin prices
COPY --from=build /opt/venv /opt/venv
WORKDIR /srv
COPY alembic.ini ./
COPY alembic alembic
COPY app app
RUN python -m compileall -q app
# the root file system is read-only: what is written goes to /tmp, and bytecode is already there
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    API_HOST=0.0.0.0 \
    HEARTBEAT_FILE=/tmp/heartbeat
# a number, so that an orchestrator can see that it is not root
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=10s --start-period=30s --retries=3 \
    CMD ["python", "-m", "app", "healthcheck", "api"]
CMD ["python", "-m", "app", "api", "--watched"]
