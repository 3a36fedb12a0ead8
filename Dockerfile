# The image: python, a virtual environment at /opt/shipper, and a configuration that takes its
# values from the environment. Whatever pip downloads is a wheel whose hash is in a lock file.
# Both stages need the same base: the environment refers to its python.
# To pin it: --build-arg BASE=python:3.13-slim@sha256:...
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_NO_INPUT=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /src

# The dependencies change seldom: a layer of their own.
COPY requirements.lock ./
RUN python -m venv --without-pip /opt/shipper \
 && python -m pip --python /opt/shipper/bin/python install --no-compile \
        --require-hashes --only-binary :all: -r requirements.lock

# pip has no hash for a build environment that it makes itself. So the backend is installed first,
# by hash, into an environment of its own, and the wheel is built there with what it finds.
COPY deploy/image/build-requirements.lock deploy/image/
RUN python -m venv --without-pip /opt/build \
 && python -m pip --python /opt/build/bin/python install --no-compile \
        --require-hashes --only-binary :all: -r deploy/image/build-requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY shipper/ shipper/
RUN python -m pip --python /opt/build/bin/python wheel --no-index --no-deps \
        --no-build-isolation --check-build-dependencies --wheel-dir /opt/wheels . \
 && python -m pip --python /opt/shipper/bin/python install --no-compile --no-index --no-deps \
        /opt/wheels/*.whl \
 && /opt/shipper/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/shipper/lib

FROM ${BASE}
LABEL org.opencontainers.image.title="shipper" \
      org.opencontainers.image.description="Ships Cilium Tetragon logs to Elasticsearch and OpenSearch" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/shipper /opt/shipper
# Looked for last: whatever is mounted at /etc/shipper or as /usr/share/filebeat/filebeat.yml wins.
COPY --chmod=0644 deploy/image/shipper.yml /usr/share/shipper/shipper.yml
# Filebeat's command line, for pods that were written for it.
COPY --chmod=0755 deploy/image/entrypoint deploy/image/filebeat /opt/shipper/bin/
# Group 0 may write the data directories, our own and that of a filebeat.yml: a user id without an entry in /etc/passwd has that group.
# The base has no byte code of the standard library; this import writes what a start needs, as it
# cannot be written once the root is read-only.
RUN install -d -m 0770 /var/lib/shipper /usr/share/filebeat/data \
 && /opt/shipper/bin/python -c 'import shipper.__main__, shipper.cli.filebeat, shipper.daemon, shipper.admin.server'
ENV PATH=/opt/shipper/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65534:0
ENTRYPOINT ["entrypoint"]
CMD ["run"]
