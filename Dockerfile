# Two images of one project: `service` (the default), without TensorFlow, and `training`.
#
#   docker build -t stepcast .
#   docker build -t stepcast-training --target training .
#
# The service listens to others, so it starts with keys (-e STEPCAST_API_KEYS=...) or where it is told
# that it needs none (-e STEPCAST_ALLOW_ANONYMOUS=true).
#
# Dependencies sit in layers below the code, so a change of code installs none of them again.
# Behind a package mirror: --build-arg PIP_INDEX_URL=...; it reaches the build stages only.

FROM python:3.11-slim AS base
ENV PATH=/opt/stepcast/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    STEPCAST_MODELS=/srv/stepcast/models
WORKDIR /srv/stepcast


# A virtual environment with the locked dependencies of serving, put there by the base image's pip.
FROM base AS service-dependencies
ARG PIP_INDEX_URL
RUN python -m venv --without-pip /opt/stepcast
COPY requirements/service.txt requirements/
RUN pip --python /opt/stepcast install --no-cache-dir --disable-pip-version-check --require-hashes \
    -r requirements/service.txt


# The same for training, which holds all that serving needs.
FROM base AS training-dependencies
ARG PIP_INDEX_URL
RUN python -m venv --without-pip /opt/stepcast
COPY requirements/training.txt requirements/
RUN pip --python /opt/stepcast install --no-cache-dir --disable-pip-version-check --require-hashes \
    -r requirements/training.txt


# The project alone, laid out to be copied over either environment.
FROM base AS project
ARG PIP_INDEX_URL
RUN python -m venv /opt/stepcast
COPY requirements/build.txt requirements/
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY app/ app/
COPY forecaster/ forecaster/
COPY stepcast/ stepcast/
COPY training/ training/
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation \
    --prefix /opt/project .


FROM base AS training
RUN groupadd --gid 10001 stepcast \
    && useradd --uid 10001 --gid stepcast --no-create-home --shell /usr/sbin/nologin stepcast
# HOME: Keras and Matplotlib write there, and the user may be any (see docker-compose.yml).
ENV HOME=/tmp
COPY --from=training-dependencies /opt/stepcast /opt/stepcast
COPY --from=project /opt/project /opt/stepcast
COPY models/ models/
USER 10001:10001
ENTRYPOINT ["stepcast"]
CMD ["train", "--help"]


FROM base AS service
RUN groupadd --gid 10001 stepcast \
    && useradd --uid 10001 --gid stepcast --no-create-home --shell /usr/sbin/nologin stepcast
COPY --from=service-dependencies /opt/stepcast /opt/stepcast
COPY --from=project /opt/project /opt/stepcast
COPY models/ models/
ENV STEPCAST_LOG_FORMAT=json
# Where series are kept; a volume that is put here takes over whose it is.
RUN install --directory --owner stepcast --group stepcast var
VOLUME /srv/stepcast/var
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:' + os.environ.get('STEPCAST_PORT', '8000') + '/health/ready', timeout=4)"]
ENTRYPOINT ["stepcast"]
CMD ["serve", "--host", "0.0.0.0"]
