# clickgrain annotate on a CPU, for people on other machines: the address with its token stands in the log; put the
# machine's name, or localhost, in the place of the container's.
#   docker build -t clickgrain .
#   docker run --rm -p 8000:8000 -v "$PWD/photos:/photos" clickgrain
# Annotations are kept in the photos' folder, so it is mounted writable. Only over HTTPS (a proxy) on open networks.
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY src src
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.13-slim
COPY --from=build /wheels /wheels
COPY --from=build /src/constraints.txt /
# the CPU index: torch's usual wheel for Linux brings gigabytes of CUDA
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu -c /constraints.txt /wheels/*.whl \
    && rm -r /wheels && useradd --create-home clickgrain
USER clickgrain
EXPOSE 8000
ENTRYPOINT ["clickgrain", "annotate", "/photos", "--host", "0.0.0.0", "--port", "8000", "--no-browser"]
