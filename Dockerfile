# One image for every service: `sitecrew run order-intake|installer|mailer`, and the whole `sitecrew` command.
#
#   docker build -t sitecrew .
#
# It holds what a site needs that consists of files (static, and archives without a build step). For WordPress the
# installer needs PHP and WordPress's files as well: build on it, and see docs/operate.md. What only `sitecrew up`, the
# demonstration and spans need (the extras `demo` and `tracing`) is not in it.

ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
RUN python3 -m venv --without-pip /opt/sitecrew && python3 -m venv /opt/tools
ENV PATH=/opt/tools/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
# Packages that lie in var/wheels are taken from there, and nothing is asked of the network (script/wheels puts them
# there); without that folder they come from the package index. The hashes decide either way.
COPY requirements.txt requirements-build.txt var/wheel[s] ./
RUN set -- --quiet --require-hashes --only-binary :all:; \
    if ls ./*.whl >/dev/null 2>&1; then set -- "$@" --no-index --find-links .; fi; \
    pip --python /opt/sitecrew/bin/python install "$@" -r requirements.txt && \
    pip install "$@" -r requirements-build.txt
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY foundation foundation
COPY services services
COPY sitecrew sitecrew
RUN pip wheel --quiet --no-deps --no-index --no-build-isolation --wheel-dir dist . && \
    pip --python /opt/sitecrew/bin/python install --quiet --no-deps --no-index dist/*.whl

FROM ${PYTHON_IMAGE}
# Volumes that are mounted here begin as these folders are: writable for the one user that is.
RUN for place in /srv/hosting /var/lib/sitecrew /keys/private /keys/public; do \
        mkdir -p "$place" && chown 10001:10001 "$place"; done && chmod 700 /keys/private
COPY --from=build /opt/sitecrew /opt/sitecrew
ENV PATH=/opt/sitecrew/bin:$PATH PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /var/lib/sitecrew
ENTRYPOINT ["sitecrew"]
CMD ["--help"]
