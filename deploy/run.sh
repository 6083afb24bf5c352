#!/bin/sh
# The handler in the endpoint's zip: the Lambda Web Adapter starts it, and sends requests to this port.
# Python searches modules as the runtime does: the zip's own first, then layers', then the runtime's
# boto3.
export PYTHONPATH="$LAMBDA_TASK_ROOT:/opt/python:$LAMBDA_RUNTIME_DIR${PYTHONPATH:+:$PYTHONPATH}"
exec python -m s3archivefs.cli serve --host 127.0.0.1 --port "${AWS_LWA_PORT:-8080}" \
    --page "${S3ARCHIVEFS_ENDPOINT_PAGE:-off}"
