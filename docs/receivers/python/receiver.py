"""Takes webhooks at PORT and prints each alert once. RED_WEBHOOK_SECRET is the subscription's secret."""

import os
import queue
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["RED_WEBHOOK_SECRET"])
work = queue.Queue()
seen, lock = set(), threading.Lock()  # in a service: a unique column of the database that the work writes to


def act(event):
    data = event["data"]
    if event["type"] == "red.alert":
        print(f"alert {data['seq']}: image {data['image_id']} has {data['red']:.2%} red", flush=True)
    elif event["type"] == "red.digest":
        print(
            f"alerts {data['first_seq']} to {data['last_seq']}: up to {data['max_red']:.2%} red", flush=True
        )


def worker():
    while True:
        try:
            act(work.get())
        except Exception:  # the next one must not wait for ever for a worker that has ended
            traceback.print_exc()


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"] or 0))
        try:
            event = webhook.verify(body, dict(self.headers))  # the bytes as they came
        except (WebhookVerificationError, ValueError):
            return self.answer(400)
        with lock:
            is_new = self.headers["webhook-id"] not in seen
            seen.add(self.headers["webhook-id"])
        if is_new:
            work.put(event)
        self.answer(204)  # at once: the work comes after the answer

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


threading.Thread(target=worker, daemon=True).start()
ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "3000"))), Receiver).serve_forever()
