"""A Flask site: a page, a form that POSTs, a response that streams."""

import os
import time

from flask import Flask, Response, render_template, request

app = Flask(__name__)


@app.get("/")
def index() -> str:
    return render_template("index.html", text="", pid=os.getpid())


@app.post("/")
def shout() -> str:
    return render_template("index.html", text=request.form.get("text", "").upper(), pid=os.getpid())


@app.get("/countdown/<int:start>")
def countdown(start: int) -> Response:
    def lines():
        for number in range(start, 0, -1):
            yield f"{number}\n"
            time.sleep(0.1)
        yield "relève!\n"

    return Response(lines(), mimetype="text/plain")


@app.get("/healthz")
def healthz() -> str:
    return "ok"
