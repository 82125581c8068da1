# One image for every service: `sitecrew run order-intake|installer|mailer|api`, and the whole `sitecrew` command.
#
#   docker build -t sitecrew .
#
# It can install sites that consist of files (static, and archives without a build step). For WordPress the installer also
# needs PHP and WordPress's files: build on top of this image, as docs/operate.md shows. It does not include what only
# `sitecrew up`, the demo and spans need (the extras `demo` and `tracing`).

ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
RUN python3 -m venv --without-pip /opt/sitecrew && python3 -m venv /opt/tools
ENV PATH=/opt/tools/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
# If var/wheels exists (script/wheels fills it), packages come from there, without network access; otherwise from the
# package index. The hashes are checked either way.
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
# Volumes mounted here start out like these directories: writable for the image's only user.
RUN for place in /srv/hosting /var/lib/sitecrew /secrets/public /secrets/broker /secrets/passwords /secrets/migrate \
        /secrets/order-intake /secrets/installer /secrets/mailer /secrets/api /secrets/staff; do \
        mkdir -p "$place" && chown 10001:10001 "$place"; done && \
    chmod 700 /secrets/passwords /secrets/migrate /secrets/order-intake /secrets/installer /secrets/mailer /secrets/api \
        /secrets/staff
COPY --from=build /opt/sitecrew /opt/sitecrew
ENV PATH=/opt/sitecrew/bin:$PATH PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /var/lib/sitecrew
ENTRYPOINT ["sitecrew"]
CMD ["--help"]
