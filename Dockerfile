# The demo in a container, pictures in ./out:
#   docker build -t snn-deploy . && docker run --rm --user "$(id -u):$(id -g)" -v "$PWD/out:/out" snn-deploy
FROM python:3.11-slim

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1
WORKDIR /src
COPY requirements.lock requirements-lava.lock ./
# Lava's metadata refuses Python 3.11, where it works once imported through snn_deploy_lava; its requirements are in the first file.
RUN pip install --require-hashes -r requirements.lock && pip install --no-deps --ignore-requires-python --require-hashes -r requirements-lava.lock
COPY pyproject.toml README.md LICENSE ./
COPY snn_deploy snn_deploy
COPY backends backends
COPY models models
RUN pip install --no-deps --no-build-isolation .

WORKDIR /out
VOLUME /out
ENTRYPOINT ["snn-deploy"]
CMD ["demo", "--out", "/out"]
