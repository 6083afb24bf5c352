#!/bin/sh
# The handler in the endpoint's zip: the Lambda Web Adapter starts it, and sends requests to this port.
# Python searches modules as the runtime does: the zip's own first, then layers', then the runtime's
# boto3.
export PYTHONPATH="$LAMBDA_TASK_ROOT:/opt/python:$LAMBDA_RUNTIME_DIR${PYTHONPATH:+:$PYTHONPATH}"
# Lambda gives an instance one request at a time: a second worker would only halve the memory of the first.
# No proxy is trusted: the client of a function URL can write the X-Forwarded-For that the adapter passes on.
exec python -m s3archivefs.cli serve --host 127.0.0.1 --port "${AWS_LWA_PORT:-8080}" \
    --page "${S3ARCHIVEFS_ENDPOINT_PAGE:-off}" \
    --workers "${S3ARCHIVEFS_ENDPOINT_WORKERS:-1}"
