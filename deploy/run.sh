#!/bin/sh
# In the endpoint's zip, and its function's handler: what the Lambda Web Adapter starts, and asks on
# this port. Modules are looked for as the runtime does it: the zip's own first, then layers', then
# the runtime's boto3.
export PYTHONPATH="$LAMBDA_TASK_ROOT:/opt/python:$LAMBDA_RUNTIME_DIR${PYTHONPATH:+:$PYTHONPATH}"
exec python -m s3archivefs.cli serve --host 127.0.0.1 --port "${AWS_LWA_PORT:-8080}"
