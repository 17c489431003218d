# acsgreg_tf in a container; the commands are those of docs/guide. Scans are mounted:
#   docker build --target cpu -t acsgreg .
#   docker run --rm -v $PWD:/data -w /data acsgreg register --fixed a.nii.gz --fixed-seg a_seg.nii.gz ...
#   docker build --target gpu -t acsgreg-gpu . && docker run --rm --gpus all -v $PWD:/data -w /data acsgreg-gpu train ...

FROM python:3.11-slim AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-deps --wheel-dir /wheels .

FROM python:3.11-slim AS cpu
COPY --from=wheel /wheels /wheels
RUN pip install --no-cache-dir "$(ls /wheels/*.whl)[report,surfaces]" && rm -r /wheels
# Converted networks and compiled functions are kept here; mount a volume to keep them from run to run.
ENV ACSGREG_CACHE=/cache/acsgreg NUMBA_CACHE_DIR=/cache/numba
RUN mkdir -p /cache && chmod 777 /cache
VOLUME /cache
ENTRYPOINT ["acsgreg"]

FROM cpu AS gpu
# CUDA's libraries come with TensorFlow's extra; the host needs a driver and the NVIDIA container toolkit.
RUN pip install --no-cache-dir "tensorflow[and-cuda]>=2.18"
