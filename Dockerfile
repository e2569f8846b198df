# The demo in a container, pictures in ./out:
#   docker build -t snn-deploy . && docker run --rm --user "$(id -u):$(id -g)" -v "$PWD/out:/out" snn-deploy
FROM python:3.11-slim

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1 NUMBA_CACHE_DIR=/tmp/numba
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY snn_deploy snn_deploy
COPY backends backends
COPY models models
# Lava's metadata refuses Python 3.11, where it works once imported through snn_deploy_lava; its requirements are the extra's pins.
RUN pip install -c constraints.txt ".[cpu,report,lava]" && pip install --no-deps --ignore-requires-python lava-nc==0.10.0

WORKDIR /out
VOLUME /out
ENTRYPOINT ["snn-deploy"]
CMD ["demo", "--out", "/out"]
