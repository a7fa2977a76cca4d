# The container service: the GraphQL application with websockets, at full speed. It needs a database (DATABASE_URL, or
# DATABASE_URL_ARN on AWS); the embedded server stays behind.
#   docker buildx build --platform linux/arm64 --tag purser .
FROM python:3.13-slim AS packages
COPY requirements-aws.lock .
RUN pip install --no-cache-dir --disable-pip-version-check --only-binary :all: --no-deps --require-hashes \
    --requirement requirements-aws.lock --target /packages \
    && python -m compileall -q /packages

FROM python:3.13-slim
RUN useradd --create-home --uid 10001 purser
WORKDIR /srv/purser
COPY --from=packages /packages /packages
COPY domain domain
COPY infra infra
COPY graphql_api graphql_api
COPY lambdas lambdas
ENV PYTHONPATH=/srv/purser:/packages PYTHONUNBUFFERED=1
RUN python -m compileall -q .
USER purser
EXPOSE 8000
ENTRYPOINT ["python", "-c", "from graphql_api.cli import main; main()"]
CMD ["serve", "--host", "0.0.0.0"]
