"""Runs a comparison service with the uvicorn settings of `stepcast serve`."""

import sys

import uvicorn
from fastapi import FastAPI


def serve(app: FastAPI) -> None:
    """Serve on the port that the last argument names, until the process is told to stop."""
    uvicorn.run(
        app, host="127.0.0.1", port=int(sys.argv[-1]), access_log=False, server_header=False
    )
